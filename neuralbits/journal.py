"""The output of a scoring job: a killed job resumes from its last checkpoint.

A job only appends to ``OUTPUT.partial`` and ``OUTPUT.rejects.partial``. The first line of
``OUTPUT.journal`` describes the job. Each further line is a checkpoint: how much of the input is
done, and how many bytes of the two files are on the disk. A resumed job cuts off the bytes after
them. Each line has a checksum that covers the lines before; the files beside a valid journal belong
to the job.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from neuralbits.errors import ForeignFileError, NeuralbitsError
from neuralbits.files import lock, refuse_foreign
from neuralbits.table_writers import streams_to_parquet
from neuralbits.tables import Format, Position, format_of

_MARK = b'{"neuralbits": "scoring journal", '
_TAIL = 4096  # bytes at the end of a file that a resumed job compares
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class ScoringError(NeuralbitsError):
    """A scoring job can't start or resume."""


class Checkpoint(NamedTuple):
    """How much of the input is done, and how much output it gave."""

    position: Position | None = None
    """The place in the input; None before the first record."""
    rows: int = 0
    """Rows written to the output."""
    rejected: int = 0
    """Records written to the rejects."""
    output_bytes: int = 0
    reject_bytes: int = 0
    output_tail: str = ""
    """A hash of the output's last bytes."""
    complete: bool = False
    """Whether the whole input is done."""


class Output:
    """The output table of a job and its rejects; `done` is the last checkpoint.

    Args:
        path: where the table goes.
        overwrite: replace a file at ``path``, and rejects beside it.

    Raises:
        ScoringError: the folder is missing, or the name has the ending of a compressed file.
        TableError: the name's ending is no known format.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        if not path.parent.is_dir():
            raise ScoringError(f"there is no folder {path.parent}: make it, or name another output")
        self.path = path
        self.format: Format = format_of(path)
        if path.suffix.lower() in (".gz", ".zst"):
            raise ScoringError(f"can't write a compressed table, {path}: leave out {path.suffix}")
        self.rejects = path.with_name(path.name + ".rejects.jsonl")
        self.done = Checkpoint()
        self._overwrite = overwrite
        self._tail = b""
        self._sum = ""
        self._partial_path = path.with_name(path.name + ".partial")
        self._rejects_path = path.with_name(path.name + ".rejects.partial")
        self._merged_path = path.with_name(path.name + ".merged")
        self._journal_path = path.with_name(path.name + ".journal")

    @contextmanager
    def opened(self, job: dict[str, Any], *, restart: bool) -> Iterator[None]:
        """Open the files, at the last checkpoint if an earlier run of the same job left one.

        Args:
            job: the input, the artifact and the settings that determine the output.
            restart: discard the files of an earlier run.

        Raises:
            ForeignFileError: a path has a file that no job wrote, or a link.
            ScoringError: the files belong to another job, are damaged, or are in use by another
                process.
        """
        with ExitStack() as stack:
            self._journal = stack.enter_context(self._locked_journal())
            self._read_journal(job, restart)
            if self.done.complete:
                yield
                return
            self._partial = stack.enter_context(_opened(self._partial_path))
            self._reject_file = stack.enter_context(_opened(self._rejects_path))
            _cut(self._rejects_path, self._reject_file, self.done.reject_bytes)
            _cut(self._partial_path, self._partial, self.done.output_bytes)
            self._partial.seek(max(0, self.done.output_bytes - _TAIL))
            self._tail = self._partial.read()
            if self.done.output_bytes and self._tail_hash() != self.done.output_tail:
                raise ScoringError(
                    f"{self._partial_path} was changed: pass --restart to discard it"
                )
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
        """Append the bytes for the input up to a position to both files."""
        self._partial.write(output)
        self._reject_file.write(rejects)
        self._tail = (self._tail + output[-_TAIL:])[-_TAIL:]
        self.done = Checkpoint(
            position,
            self.done.rows + rows,
            self.done.rejected + rejected,
            self.done.output_bytes + len(output),
            self.done.reject_bytes + len(rejects),
        )

    def checkpoint(self, *, complete: bool = False) -> None:
        """Sync the appended bytes to the disk, then add a checkpoint to the journal."""
        _sync(self._partial)
        _sync(self._reject_file)
        self.done = self.done._replace(complete=complete, output_tail=self._tail_hash())
        position = self.done.position and self.done.position._asdict()
        self._note({**self.done._asdict(), "position": position})

    def publish(self) -> None:
        """Rename the complete files to their final names; a killed call can be repeated.

        Raises:
            ForeignFileError: a file that the job didn't write appeared meanwhile. Nothing is lost.
        """
        table = self._partial_path
        if self.format == "parquet":
            table = self._merged_path
            if self._partial_path.exists():
                with self._partial_path.open("rb") as streams, _opened(table) as file:
                    file.truncate(0)
                    streams_to_parquet(streams, file)
                    _sync(file)
                self._partial_path.unlink()  # now the merged file is complete
        if self.done.rejected and self._rejects_path.exists():
            refuse_foreign([self.rejects], overwrite=self._overwrite)
            self._rejects_path.replace(self.rejects)
        elif not self.done.rejected:
            self._rejects_path.unlink(missing_ok=True)
            if self._overwrite:
                self.rejects.unlink(missing_ok=True)  # of an earlier job
        if table.exists():
            refuse_foreign([self.path], overwrite=self._overwrite)
            table.replace(self.path)
        _sync_folder(self.path)
        self._journal_path.unlink()

    @contextmanager
    def _locked_journal(self) -> Iterator[BinaryIO]:
        """Open or create the journal, and lock it until the process ends.

        Raises:
            ForeignFileError: the file isn't a journal.
            ScoringError: another process has locked the journal.
        """
        while True:
            with _opened(self._journal_path) as file:
                try:
                    lock(file.fileno())
                except BlockingIOError:
                    raise ScoringError(
                        f"another process is writing {self.path}: wait until it ends"
                    ) from None
                if not os.fstat(file.fileno()).st_nlink:
                    continue  # another job deleted the journal between open and lock
                start = file.read(len(_MARK))
                if start != _MARK[: len(start)]:
                    raise ForeignFileError(
                        f"{self._journal_path} isn't a scoring journal: move it away, or name "
                        "another output"
                    )
                yield file
                return

    def _read_journal(self, job: dict[str, Any], restart: bool) -> None:
        """Read the last checkpoint of the same job, or start a journal."""
        entries: list[dict[str, Any]] = []
        size = 0
        self._journal.seek(0)
        for line in self._journal:
            if not line.endswith(b"\n"):  # a kill may cut the last line short
                break
            size += len(line)
            if restart:
                continue
            try:
                entries.append(self._checked(line))
            except (ValueError, LookupError, TypeError):
                raise ScoringError(
                    f"{self._journal_path} is damaged: pass --restart to discard it"
                ) from None
        sides = [self._partial_path, self._rejects_path, self._merged_path]
        if size and restart:
            for path in sides:
                path.unlink(missing_ok=True)
        if not entries:
            for path in sides:
                if path.is_symlink() or path.exists():
                    self._discard_journal()
                    raise ForeignFileError(
                        f"{path} belongs to no scoring job: move it away, or name another output"
                    )
            try:
                refuse_foreign([self.path, self.rejects], overwrite=self._overwrite)
            except ForeignFileError:
                self._discard_journal()
                raise
            self._journal.truncate(0)
            self._note(job)
            return
        self._journal.truncate(size)
        changed = [what for what in job if entries[0].get(what) != job[what]]
        if changed:
            raise ScoringError(
                f"{self._journal_path} belongs to a job with a different {', '.join(changed)}: "
                "rerun that job, or pass --restart to discard it"
            )
        if len(entries) > 1:
            last = entries[-1]
            position = last["position"] and Position(**last["position"])
            self.done = Checkpoint(**{**last, "position": position})

    def _discard_journal(self) -> None:
        """Delete the journal if it is empty, that is, if this run created it."""
        if not self._journal.seek(0, os.SEEK_END):
            self._journal_path.unlink()

    def _note(self, entry: dict[str, Any]) -> None:
        content = json.dumps(entry)
        self._sum = _chained(self._sum, content)
        line = b'%s"sum": "%s", "entry": %s}\n' % (_MARK, self._sum.encode(), content.encode())
        self._journal.seek(0, os.SEEK_END)
        self._journal.write(line)
        _sync(self._journal)

    def _checked(self, line: bytes) -> dict[str, Any]:
        """Return the entry of a journal's line.

        Raises:
            ValueError, LookupError, TypeError: `_note` didn't write this line.
        """
        content = json.loads(line)
        self._sum = _chained(self._sum, json.dumps(content["entry"]))
        if content["sum"] != self._sum or not line.startswith(_MARK):
            raise ValueError("a wrong checksum")
        return dict(content["entry"])

    def _tail_hash(self) -> str:
        return hashlib.blake2b(self._tail, digest_size=16).hexdigest()


def _chained(before: str, content: str) -> str:
    return hashlib.blake2b((before + content).encode(), digest_size=16).hexdigest()


def _opened(path: Path) -> BinaryIO:
    """Open or create a file to read and write, without following links.

    Raises:
        ForeignFileError: the path is a link, a folder or a device.
    """
    if path.is_symlink():
        raise ForeignFileError(f"{path} is a link: move it away, or name another output")
    refuse_foreign([path], overwrite=True)  # checks the kind; the caller checks the content
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o644)
    return os.fdopen(handle, "r+b")


def _cut(path: Path, file: BinaryIO, size: int) -> None:
    if file.seek(0, os.SEEK_END) < size:
        raise ScoringError(f"{path} was cut short: pass --restart to discard the job")
    file.truncate(size)
    file.seek(size)


class Stream:
    """The output of a job to a stream such as standard output, which can't be resumed.

    Args:
        file: where the table goes.
        format: the table's format; Parquet goes to a temporary file first.
        rejects: where the rejected records go, one line of JSON each.
    """

    def __init__(self, file: BinaryIO, format: Format, rejects: BinaryIO) -> None:
        self.format = format
        self.done = Checkpoint()
        self._file, self._rejects = file, rejects

    @contextmanager
    def opened(self, job: dict[str, Any], *, restart: bool) -> Iterator[None]:
        """Start the job; a stream has no earlier run to resume."""
        with ExitStack() as stack:
            self._table = self._file
            if self.format == "parquet":
                self._table = stack.enter_context(tempfile.TemporaryFile())
            yield

    def append(
        self,
        position: Position | None,
        output: bytes,
        rejects: bytes = b"",
        rows: int = 0,
        rejected: int = 0,
    ) -> None:
        """Write the bytes for the input up to a position."""
        self._table.write(output)
        self._rejects.write(rejects)
        self.done = Checkpoint(position, self.done.rows + rows, self.done.rejected + rejected)

    def checkpoint(self, *, complete: bool = False) -> None:
        """Flush the appended bytes."""
        self._table.flush()
        self._rejects.flush()

    def publish(self) -> None:
        """End the table."""
        if self.format == "parquet":
            streams_to_parquet(self._table, self._file)
        self._file.flush()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
