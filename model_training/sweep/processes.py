"""Several trainings at once, each in a separate process.

A process for each, and not one pool for all: one that is killed for want of memory takes no other
with it, and each starts from the fresh state that makes its artifact the one that `neuralbits
train` makes.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from neuralbits.errors import NeuralbitsError

from .. import job
from ..data import TrainingData
from ..loop.history import EpochRecord, Observer
from ..settings import Settings

_STOPS_WITHIN = 0.2  # seconds, when asked to


@dataclass(frozen=True)
class Training:
    """One call of `job.train`, on a CPU, that goes on from the checkpoint if there is one."""

    settings: Settings
    data: TrainingData
    output: Path
    max_size: int
    choose_widths: bool
    command: str


def train_all(
    trainings: Sequence[Training],
    workers: int,
    console: Console,
    stop: threading.Event | None = None,
) -> dict[Path, str]:
    """Run the trainings, so many at a time, the last one first.

    Once ``stop`` is set, all of them end; each keeps the checkpoint of its last whole epoch, as it
    does when this process is killed.

    Returns:
        Why there is no artifact at an output, for each training that failed.

    Raises:
        KeyboardInterrupt: ``stop`` was set, or Ctrl-C was pressed.
    """
    stop = stop or threading.Event()
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
    with progress:
        total = progress.add_task("trainings", total=len(trainings), right="")
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    process = _start(waiting.pop(), progress)
                    running[process.messages] = process
                if stop.is_set():
                    raise KeyboardInterrupt
                for messages in wait(list(running), timeout=_STOPS_WITHIN):
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
            message: EpochRecord | str = self.messages.recv()
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
        if isinstance(message, str):
            self.failure = message
            return True
        accuracies = {
            "trainer": message.trainer_accuracy,
            "projection": message.projection_accuracy,
        }
        right = ", ".join(f"{name} {each:.2%}" for name, each in accuracies.items() if each)
        progress.update(self.line, completed=message.epoch, right=right, refresh=True)
        return True


def _start(training: Training, progress: Progress) -> _Running:
    context = get_context("spawn")  # forking is no choice: torch has threads
    messages, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(training, sender), daemon=True)
    # Ctrl-C reaches the whole process group, but only this process is to act on it: the new one
    # inherits the signal blocked, and ignores it. Starting the tracker would unblock it.
    resource_tracker.ensure_running()
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ended by an exception, so that what is half-written is removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
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
            observer=_Sender(sender),
        )
    except NeuralbitsError as error:
        sender.send(str(error))
    except OSError as error:
        place, reason = error.filename or "the system", error.strerror or error
        sender.send(f"{place}: {reason}")
    except Exception:
        sender.send(traceback.format_exc())


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class _Sender(Observer):
    """Sends the record of each epoch to the process that started this one."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender

    def end_epoch(self, record: EpochRecord) -> None:
        self._sender.send(record)
