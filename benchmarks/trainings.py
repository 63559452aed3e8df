"""Trainings: commands that run a few at a time, stop cleanly, and don't repeat finished work.

Beside the output of each is a record (``x.record.json``): the digest of all its inputs, whether it
succeeded, and how long it took. A training that succeeded with the same digest isn't run again; an
interrupted one resumes if its command can; with another digest it starts from the beginning.
"""

import ast
import hashlib
import json
import os
import signal
import subprocess
import time
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO

from rich.console import Console

from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    # One thread for each system: the comparison is of work, not of parallelism.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
}


class BenchmarkError(NeuralbitsError):
    """Why there is no result, and how to get one, in one sentence."""


@dataclass(frozen=True)
class Training:
    """One command that trains one model."""

    name: str
    """What it is called while it runs."""
    command: tuple[str, ...]
    output: Path
    """The file that it writes; its other files begin with the same name."""
    inputs: tuple[str, ...]
    """Digests of all its inputs but the command."""
    resume: tuple[str, ...] = ()
    """Arguments that resume an interrupted training."""

    @property
    def digest(self) -> str:
        """The digest of the command and of its inputs."""
        return hashlib.sha256(repr((self.command, self.inputs)).encode()).hexdigest()

    @property
    def record(self) -> Path:
        """The path of the record."""
        return self.output.with_suffix(".record.json")

    @property
    def log(self) -> Path:
        """The path of the command's output."""
        return self.output.with_suffix(".log")

    def recorded(self) -> dict[str, Any]:
        """Return the record; an empty one if there is none with this digest."""
        try:
            record: dict[str, Any] = json.loads(self.record.read_bytes())
        except (OSError, ValueError):
            return {}
        return record if record.get("digest") == self.digest else {}

    def write_record(self, *, finished: bool, seconds: float | None) -> None:
        """Write the record."""
        content = {"digest": self.digest, "finished": finished, "seconds": seconds}
        with atomic_write(self.record, overwrite=True) as file:
            file.write(json.dumps(content).encode())

    @property
    def finished(self) -> bool:
        """Whether a training with this digest succeeded and its output exists."""
        return self.recorded().get("finished", False) and self.output.exists()

    @property
    def seconds(self) -> float | None:
        """The wall-clock time of the command, all its runs together.

        None if the process that measured one of them was killed too.
        """
        return self.recorded().get("seconds")


def run_all(trainings: Sequence[Training], jobs: int, lock: int, console: Console) -> None:
    """Run what isn't finished, several at a time.

    Ctrl-C (see `interruptible`) lets each command stop in its own way; a second one ends them.

    Args:
        trainings: commands whose outputs go into folders that exist.
        jobs: how many run at a time.
        lock: the descriptor from `locked`; the commands keep it while they run.
        console: where progress is shown.

    Raises:
        BenchmarkError: a command failed; the others have been stopped.
        KeyboardInterrupt: Ctrl-C.
    """
    waiting = [training for training in trainings if not training.finished]
    done = len(trainings) - len(waiting)
    console.print(f"{done} of {len(trainings)} trainings are done already", highlight=False)
    running = _Running(lock, console)
    with ThreadPoolExecutor(jobs) as executor:
        try:
            futures = {executor.submit(running.run, each): each.name for each in waiting}
            for future in as_completed(futures):
                future.result()
                done += 1
                console.print(
                    f"{futures[future]} is done, {done} of {len(trainings)}", highlight=False
                )
        except BaseException as error:
            running.signal(signal.SIGINT)
            try:
                executor.shutdown(cancel_futures=True)
            except KeyboardInterrupt:
                running.signal(signal.SIGKILL)
            if isinstance(error, KeyboardInterrupt):
                console.print("stopped; the same command resumes")
            raise


class _Running:
    """The running processes."""

    def __init__(self, lock: int, console: Console) -> None:
        self._folder_lock = lock
        self._console = console
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._stopped = Event()

    def run(self, training: Training) -> None:
        """Run one training in this thread.

        Raises:
            BenchmarkError: it failed.
        """
        begun = bool(training.recorded())
        if not begun:
            # Another training's checkpoint must not be resumed.
            for stale in training.output.parent.glob(f"{training.output.stem}.*"):
                stale.unlink()
        resume, before = (training.resume, training.seconds) if begun else ((), 0.0)
        start = time.monotonic()
        with training.log.open("ab") as log:
            process = self._start([*training.command, *resume], training, log)
            if process is None:
                return
            with process:
                assert process.stderr is not None
                last = ""
                for line in process.stderr:
                    log.write(line)
                    last = line.decode(errors="replace").rstrip() or last
                    if not self._stopped.is_set():
                        self._console.print(
                            f"{training.name} | {last}",
                            markup=False,
                            highlight=False,
                            soft_wrap=True,
                        )
            code = process.returncode
        with self._lock:
            self._processes.discard(process)
        seconds = None if before is None else before + time.monotonic() - start
        training.write_record(finished=code == 0, seconds=seconds)
        if code != 0 and not self._stopped.is_set():
            raise BenchmarkError(
                f"{training.name} failed with exit code {code} ({last}); {training.log} holds all "
                "that it said"
            )

    def _start(
        self, command: list[str], training: Training, log: BinaryIO
    ) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._stopped.is_set():
                return None
            training.write_record(finished=False, seconds=None)
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.PIPE,
                # Ctrl-C reaches only this process, which forwards it once.
                start_new_session=True,
                pass_fds=[self._folder_lock],
            )
            self._processes.add(process)
            return process

    def signal(self, number: signal.Signals) -> None:
        """Start no more trainings, and send a signal to the running ones."""
        with self._lock:
            self._stopped.set()
            for process in self._processes:
                process.send_signal(number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, and the signal that make sends when it ends, raise KeyboardInterrupt."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


@cache
def code_digest(*paths: Path) -> str:
    """Return the digest of what Python modules, or all those in a folder, do.

    Comments, docstrings and layout make no difference.
    """
    digest = hashlib.sha256()
    for path in paths:
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(module.name.encode())
            digest.update(_code(module.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _code(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [each for each in body if not _is_string(each)]
    return ast.dump(tree)


def _is_string(node: ast.AST) -> bool:
    """Whether a statement is a string that nothing reads."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
