"""Several trainings at once, each in a separate process.

A process for each, and not one pool for all: one that is killed for want of memory takes no other
with it, and each starts from the fresh state that makes its artifact the one that `neuralbits
train` makes.
"""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from neuralbits.errors import NeuralbitsError

from .. import job
from ..data import TrainingData
from ..settings import Settings

_EPOCH = re.compile(r"epoch +(?P<epoch>\d+)/.* right: (?P<right>.+)")
"""What `job.train` prints after each epoch."""


@dataclass(frozen=True)
class Training:
    """One call of `job.train`, on a CPU, that goes on from the checkpoint if there is one."""

    settings: Settings
    data: TrainingData
    output: Path
    max_size: int
    choose_widths: bool
    command: str


def train_all(trainings: Sequence[Training], workers: int, console: Console) -> dict[Path, str]:
    """Run the trainings, so many at a time, the last one first.

    Ctrl-C ends all of them at once; each keeps the checkpoint of the last epoch that it ended, as
    it does when this process is killed.

    Returns:
        Why there is no artifact at an output, for each training that failed.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    waiting = list(trainings)
    running: dict[Connection, _Running] = {}
    failures: dict[Path, str] = {}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[right]}"),
        console=console,
    )
    with _interruptible(), progress:
        total = progress.add_task("trainings", total=len(trainings), right="")
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    process = _start(waiting.pop(), progress)
                    running[process.messages] = process
                for messages in wait(list(running)):
                    assert isinstance(messages, Connection)
                    process = running[messages]
                    if process.listen(progress):
                        continue
                    del running[messages]
                    output = process.training.output
                    if failure := process.failure:
                        failures[output] = failure
                    outcome = f"failed: {failure}" if failure else "is trained"
                    progress.console.print(
                        f"{output.stem} {outcome}", markup=False, highlight=False, soft_wrap=True
                    )
                    progress.advance(total)
        except KeyboardInterrupt:
            progress.console.print("stopped; the same command goes on from the last epochs' ends")
            raise
        finally:
            for process in running.values():
                process.process.terminate()
            for process in running.values():
                process.process.join()
    return failures


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, also where a shell's background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class _Running:
    """A training's process, as seen from this one."""

    training: Training
    process: SpawnProcess
    messages: Connection
    line: TaskID
    failure: str = ""
    """Why it failed, once `listen` has returned False; empty if it didn't."""

    def listen(self, progress: Progress) -> bool:
        """Show what the process has to say; return whether it goes on."""
        try:
            kind, text = self.messages.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            if code and not self.failure:
                how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
                self.failure = (
                    f"its process was ended {how}; if memory is short, take fewer --workers"
                )
            self.messages.close()
            progress.remove_task(self.line)
            return False
        if kind == "failure":
            self.failure = text
        elif said := _EPOCH.search(text):
            epoch, right = int(said["epoch"]), said["right"].strip()
            progress.update(self.line, completed=epoch, right=right, refresh=True)
        return True


def _start(training: Training, progress: Progress) -> _Running:
    context = get_context("spawn")  # forking is no choice: torch has threads
    messages, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(training, sender), daemon=True)
    # Ctrl-C reaches the whole process group, but only this process is to act on it: the new one
    # inherits the signal blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    sender.close()
    line = progress.add_task(training.output.stem, total=training.settings.epochs, right="")
    return _Running(training, process, messages, line)


# What runs in the processes.


def _train(training: Training, sender: Connection) -> None:
    # Ended by an exception, so that what is half-written is removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lines = _Lines(lambda line: sender.send(("line", line)))
    try:
        job.train(
            training.settings,
            training.data,
            training.output,
            max_size=training.max_size,
            choose_widths=training.choose_widths,
            command=training.command,
            resume=True,
            device="cpu",
            console=Console(file=lines, force_terminal=False, color_system=None),
        )
    except NeuralbitsError as error:
        sender.send(("failure", str(error)))
    except OSError as error:
        place, reason = error.filename or "the system", error.strerror or error
        sender.send(("failure", f"{place}: {reason}"))
    except Exception:
        sender.send(("failure", traceback.format_exc()))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class _Lines(StringIO):
    """A text file that gives each line that is written to a function."""

    def __init__(self, receive: Callable[[str], None]) -> None:
        super().__init__()
        self._receive = receive
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._receive(line)
        return len(text)
