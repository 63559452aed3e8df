"""The output of a job that may be killed at any moment, and goes on where it was.

``OUTPUT.partial`` and ``OUTPUT.rejects.partial`` only ever grow. ``OUTPUT.journal`` holds the job
on its first line, and then a line for each checkpoint: how much of the input is done, and how much
of the two files, known to be on the disk, that has made. On resuming, the rest is cut off.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from neuralbits.errors import NeuralbitsError
from neuralbits.table_writers import streams_to_parquet
from neuralbits.tables import Position, format_of


class ScoringError(NeuralbitsError):
    """A job can't start or go on; the message says why, and how to mend it."""


class Checkpoint(NamedTuple):
    """How much of the input is done, and how much of the output that has made."""

    position: Position | None = None
    """The place in the input; None before the first record."""
    rows: int = 0
    """Rows written to the output."""
    rejected: int = 0
    """Records written to the rejects."""
    output_bytes: int = 0
    reject_bytes: int = 0
    complete: bool = False
    """Whether the input is done."""


class Output:
    """A table in the making, with its rejects beside it; `done` says how far it has got.

    Raises:
        ScoringError: its folder is missing, or it is a folder itself.
        TableError: its name ends in no known format.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() or not path.parent.is_dir():
            raise ScoringError(f"{path} can't be written: its folder is missing, or it is a folder")
        self.path = path
        self.format = format_of(path)
        self.rejects = path.with_name(path.name + ".rejects.jsonl")
        self.done = Checkpoint()
        self._partial_path = path.with_name(path.name + ".partial")
        self._rejects_path = path.with_name(path.name + ".rejects.partial")
        self._journal_path = path.with_name(path.name + ".journal")

    @contextmanager
    def opened(self, job: dict[str, Any], *, restart: bool) -> Iterator[None]:
        """Open the files, at the last checkpoint if an earlier run of the same job left one.

        Raises:
            ScoringError: another job's files are there, or another process is at work on them.
        """
        with self._journal_path.open("a+b") as self._journal:
            try:  # the lock goes with the process, however it ends
                fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ScoringError(f"another process is writing {self.path} now") from None
            self._read_journal(job, restart)
            if self.done.complete:
                yield
                return
            with (
                self._partial_path.open("ab") as self._partial,
                self._rejects_path.open("ab") as self._reject_file,
            ):
                _cut(self._partial, self.done.output_bytes)
                _cut(self._reject_file, self.done.reject_bytes)
                _sync_folder(self.path)
                yield

    def append(
        self,
        position: Position | None,
        output: bytes,
        rejects: bytes = b"",
        rows: int = 0,
        rejected: int = 0,
    ) -> None:
        """Append to both files what the input up to the position has made."""
        self._partial.write(output)
        self._reject_file.write(rejects)
        self.done = Checkpoint(
            position,
            self.done.rows + rows,
            self.done.rejected + rejected,
            self.done.output_bytes + len(output),
            self.done.reject_bytes + len(rejects),
        )

    def checkpoint(self, *, complete: bool = False) -> None:
        """Make all that has been appended durable, then note that it is."""
        _sync(self._partial)
        _sync(self._reject_file)
        self.done = self.done._replace(complete=complete)
        position = self.done.position and self.done.position._asdict()
        self._note({**self.done._asdict(), "position": position})

    def publish(self) -> None:
        """Put the complete files in their places; what a kill leaves undone can be done again."""
        if not self.done.rejected:
            self.rejects.unlink(missing_ok=True)  # of an earlier job
            self._rejects_path.unlink(missing_ok=True)
        elif self._rejects_path.exists():
            self._rejects_path.replace(self.rejects)
        if self._partial_path.exists():
            if self.format == "parquet":
                merged = self.path.with_name(self.path.name + ".merged")
                with self._partial_path.open("rb") as streams, merged.open("wb") as file:
                    streams_to_parquet(streams, file)
                    _sync(file)
                merged.replace(self.path)
                self._partial_path.unlink()
            else:
                self._partial_path.replace(self.path)
        _sync_folder(self.path)
        self._journal_path.unlink()

    def _read_journal(self, job: dict[str, Any], restart: bool) -> None:
        entries: list[dict[str, Any]] = []
        size = 0
        self._journal.seek(0)
        for line in self._journal:
            if restart or not line.endswith(b"\n"):  # a kill may cut the last line short
                break
            try:
                entries.append(json.loads(line))
            except ValueError:
                raise ScoringError(
                    f"{self._journal_path} is damaged, or no journal: start afresh by --restart"
                ) from None
            size += len(line)
        self._journal.truncate(size)
        if not entries:
            self._note(job)
            return
        changed = [what for what in job if entries[0].get(what) != job[what]]
        if changed:
            raise ScoringError(
                f"{self._journal_path} was left by a job in which another was the "
                f"{', '.join(changed)}: finish that one as it was begun, or forget it by --restart"
            )
        if len(entries) > 1:
            last = entries[-1]
            position = last["position"] and Position(**last["position"])
            self.done = Checkpoint(**{**last, "position": position})

    def _note(self, entry: dict[str, Any]) -> None:
        self._journal.write(json.dumps(entry).encode() + b"\n")
        _sync(self._journal)


def _cut(file: BinaryIO, size: int) -> None:
    if file.seek(0, os.SEEK_END) < size:
        raise ScoringError(f"{file.name} has lost what was in it: start afresh by --restart")
    file.truncate(size)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
