"""Tables, read record by record in constant memory: CSV, TSV, JSONL and Parquet.

A record is either a `Row` or, where the file is broken, an `Unreadable` with the reason, and
reading goes on after it: no line is skipped silently, not even a blank one. CSV and TSV are UTF-8
with a header, quoted as Python's ``csv`` quotes them; JSONL is one JSON object a line.
"""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn, Protocol, get_args

from neuralbits.errors import NeuralbitsError

Format = Literal["csv", "tsv", "jsonl", "parquet"]

LONGEST_RECORD = 1 << 20  # bytes; bounds what one missing quote or newline can cost
BLANK = "the line is blank"
_SAMPLE_LINES = 1000  # of JSONL, which has no header, to learn the columns from


class TableError(NeuralbitsError):
    """A table can't be read at all; the message says which, why, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record."""

    line: int
    """The 1-based line on which it starts; in Parquet, the row."""
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that isn't a row."""

    line: int
    """The 1-based line on which it starts."""
    reason: str
    """Why it can't be read."""
    raw: str
    """What stands there; its first 1000 bytes, if it is over-long."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of a Parquet file as Arrow holds them, which loses no type."""

    line: int
    """The 1-based number of the first row."""
    arrow: Any
    """A `pyarrow.RecordBatch`."""

    def rows(self) -> list[Row]:
        """Return the rows as Python values."""
        columns = [_python_values(column) for column in self.arrow.columns]
        names = self.arrow.schema.names
        return [
            Row(line, dict(zip(names, cells, strict=True)))
            for line, cells in enumerate(zip(*columns, strict=True), self.line)
        ]


Chunk = list[Row | Unreadable] | Batch


class Position(NamedTuple):
    """A place between two records: how much of the table lies before it."""

    line: int
    """In lines; in Parquet, rows."""
    offset: int
    """In bytes; in Parquet, rows."""
    digest: str
    """Of what must be the same to come back here: a pipe's bytes, a Parquet file's footer."""


class Table(Protocol):
    """A table opened for reading, from its first record or from a position met earlier."""

    columns: tuple[str, ...]
    size: int | None
    """In the unit of `Position.offset`; None when it can't be known."""

    def __iter__(self) -> Iterator[Row | Unreadable]:
        """Yield every record in the order of the file."""

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, Position]]:
        """Yield runs of at most ``rows`` records, each with the position after it."""

    def skip_to(self, position: Position) -> bool:
        """Go to a position of an earlier reading; False if the table isn't the one of then."""

    def arrow_schema(self) -> Any:
        """Return the types of the columns as a ``pyarrow.Schema``."""


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format that a file's ending names.

    Raises:
        TableError: the ending is another.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    for known in get_args(Format):
        if ending == known:
            return known  # type: ignore[no-any-return]
    raise TableError(f"{path}: a table's name must end in .csv, .tsv, .jsonl or .parquet")


@contextmanager
def open_table(source: Path | BinaryIO, format: Format) -> Iterator[Table]:
    """Open a file or a binary stream as a table.

    Raises:
        TableError: it can't be read, or has no usable header.
    """
    if format not in get_args(Format):
        raise TableError(f"{format!r} is none of the formats csv, tsv, jsonl and parquet")
    with ExitStack() as stack:
        name = str(source) if isinstance(source, Path) else "standard input"
        try:
            file = (
                stack.enter_context(source.open("rb", buffering=LONGEST_RECORD))
                if isinstance(source, Path)
                else source
            )
        except OSError as error:
            raise TableError(f"{name} can't be read: {error.strerror}") from None
        if format == "parquet":
            if not file.seekable():  # Parquet's index stands at its end
                pipe, file = file, stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(pipe, file)
            yield _ParquetTable(file, name)
            return
        lines = _Lines(file, rewindable=isinstance(source, Path) and file.seekable())
        if format == "jsonl":
            yield _JsonLinesTable(lines, name)
        else:
            yield _CsvTable(lines, name, "," if format == "csv" else "\t")


def missing_column(columns: Sequence[str], column: str, option: str) -> str:
    """Return the end of a sentence on a table that lacks a column, with how to mend it."""
    if len(columns) == 1:
        for mark, name in ((";", "semicolon"), ("\t", "tab"), ("|", "bar"), (",", "comma")):
            if mark in columns[0]:
                return (
                    f"has no column {column!r}; the only column is {columns[0]!r}: is the "
                    f"separator a {name}? save it with commas (.csv) or tabs (.tsv)"
                )
    others = ", ".join(map(repr, columns)) or "none"
    return f"has no column {column!r}, only {others}: name the right one with {option}"


_TOO_LONG = f"the record is longer than {LONGEST_RECORD} bytes: is a closing quote missing?"
_BARE_RETURN = "lines end in a bare carriage return: save the file with newlines"


class _TooLongError(Exception):
    """The record at hand is longer than `LONGEST_RECORD`; the message says why it may be."""


class _Line(NamedTuple):
    raw: bytes  # its first bytes if it is over-long
    size: int


class _Lines:
    """The decoded lines of a file; those of the record at hand can be given back.

    An iterator and not a generator, because csv.reader goes on with it after an exception.
    """

    def __init__(self, file: BinaryIO, *, rewindable: bool) -> None:
        self._file = file
        self._rewindable = rewindable
        self._digest = None if rewindable else hashlib.blake2b(digest_size=16)
        self._ahead: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_size = 0
        self._line = 0
        self.offset = 0
        self.fault: str | None = None  # what makes the record at hand no text, if anything
        self.size = os.fstat(file.fileno()).st_size if rewindable else None

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line.size:
            raise StopIteration
        self._taken.append(line)
        self._taken_size += line.size
        if self._taken_size > LONGEST_RECORD:
            bare = line.size > LONGEST_RECORD and b"\r" in line.raw.rstrip(b"\r\n")
            raise _TooLongError(_BARE_RETURN if bare else _TOO_LONG)
        try:
            text = line.raw.decode()
        except UnicodeDecodeError as error:
            self.fault = f"byte {error.start + 1} of the line, 0x{line.raw[error.start]:02x}, "
            self.fault += "is no UTF-8: save the file as UTF-8"
            text = line.raw.decode(errors="replace")
        if "\0" in text:
            self.fault = "the line holds a NUL byte: is the file UTF-16?"
        if self.offset == 0 and len(self._taken) == 1:
            text = text.removeprefix("\ufeff")
        return text

    @property
    def taken(self) -> int:
        """How many lines the record at hand has taken."""
        return len(self._taken)

    def accept(self, count: int | None = None) -> int:
        """End the record after ``count`` of the lines taken, and return its first line's number."""
        first = self._line + 1
        record = self._taken[:count]
        self._ahead.extendleft(reversed(self._taken[len(record) :]))
        for line in record:
            self.offset += line.size
            if self._digest:
                self._digest.update(line.raw)
        self._line += len(record)
        self._taken, self._taken_size, self.fault = [], 0, None
        return first

    def unreadable(self, reason: str, count: int | None = None) -> Unreadable:
        """End the record like `accept`, as one that isn't a row."""
        raw = b"".join(line.raw for line in self._taken[:count])
        text = raw.decode(errors="backslashreplace").rstrip("\r\n")
        return Unreadable(self.accept(count), reason, text)

    def position(self) -> Position:
        """Return the place after the last record."""
        digest = self._digest.hexdigest() if self._digest else ""
        return Position(self._line, self.offset, digest)

    def skip_to(self, position: Position) -> bool:
        if self._rewindable:
            self._ahead.clear()
            self._line, self.offset = position.line, position.offset
            self._file.seek(position.offset)
            return True
        while self.offset < position.offset:
            line = self._ahead.popleft() if self._ahead else self._read()
            if not line.size:
                break
            self._taken.append(line)
            self.accept()
        return self.position() == position

    def _read(self) -> _Line:
        raw = part = self._file.readline(LONGEST_RECORD)
        size = len(raw)
        while len(part) == LONGEST_RECORD and not part.endswith(b"\n"):
            part = self._file.readline(LONGEST_RECORD)
            size += len(part)
        return _Line(raw if size <= LONGEST_RECORD else raw[:1000], size)


class _LineTable:
    """What CSV and JSONL share: records made of lines."""

    columns: tuple[str, ...]

    def __init__(self, lines: _Lines, name: str) -> None:
        self._lines, self._name = lines, name
        self.size = lines.size

    def __iter__(self) -> Iterator[Row | Unreadable]:
        while (record := self._next()) is not None:
            yield record

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, Position]]:
        chunk: list[Row | Unreadable] = []
        start = self._lines.offset
        for record in self:
            chunk.append(record)
            if len(chunk) == rows or self._lines.offset - start >= LONGEST_RECORD:
                yield chunk, self._lines.position()
                chunk, start = [], self._lines.offset
        if chunk:
            yield chunk, self._lines.position()

    def skip_to(self, position: Position) -> bool:
        return self._lines.skip_to(position)

    def _next(self) -> Row | Unreadable | None:
        raise NotImplementedError


class _CsvTable(_LineTable):
    def __init__(self, lines: _Lines, name: str, delimiter: str) -> None:
        super().__init__(lines, name)
        # The module's own limit of 128 KiB a field is global, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = self._next_cells()
        if header is None:
            raise TableError(f"{name} is empty: its first line must name the columns")
        if isinstance(header, Unreadable):
            raise TableError(f"{name}: the header can't be read: {header.reason}")
        self._lines.accept()
        self.columns = _distinct(header, name)

    def arrow_schema(self) -> Any:
        arrow = import_pyarrow()
        return arrow.schema([(name, arrow.string()) for name in self.columns])

    def _next(self) -> Row | Unreadable | None:
        cells = self._next_cells()
        if not isinstance(cells, list):
            return cells
        if len(cells) != len(self.columns):
            return self._lines.unreadable(
                f"the record has {len(cells)} fields where the header has {len(self.columns)}"
            )
        return Row(self._lines.accept(), dict(zip(self.columns, cells, strict=True)))

    def _next_cells(self) -> list[str] | Unreadable | None:
        try:
            cells = next(self._reader, None)
        except _TooLongError as error:
            # A record broken by a stray quote is ended after its first line: the lines that the
            # quote has swallowed are most likely good records of their own.
            return self._lines.unreadable(str(error), count=1)
        except csv.Error as error:
            detail = str(error).partition(" - ")[0]  # without its advice to programmers
            if self._lines.fault and self._lines.taken == 1:
                reason = self._lines.fault  # what is no text can't be quoted right, either
            elif detail.startswith("new-line character"):
                reason = _BARE_RETURN
            else:
                reason = f"the quoting is broken: {detail}"
            return self._lines.unreadable(reason, count=1)
        if self._lines.fault:
            return self._lines.unreadable(self._lines.fault)
        return self._lines.unreadable(BLANK) if cells == [] else cells


class _JsonLinesTable(_LineTable):
    def __init__(self, lines: _Lines, name: str) -> None:
        super().__init__(lines, name)
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
        self._types: dict[str, set[type]] = {}
        for values in self._sample():
            for key, value in values.items():
                self._types.setdefault(key, set()).add(type(value))
        self.columns = tuple(self._types)

    def arrow_schema(self) -> Any:
        arrow = import_pyarrow()
        kinds = {
            frozenset({bool}): arrow.bool_(),
            frozenset({int}): arrow.int64(),
            frozenset({float}): arrow.float64(),
            frozenset({int, float}): arrow.float64(),
        }
        return arrow.schema(
            # Whatever else a column holds, it can hold as JSON text: see table_writers.py.
            (name, kinds.get(frozenset(types - {type(None)}), arrow.string()))
            for name, types in self._types.items()
        )

    def _sample(self) -> list[dict[str, Any]]:
        sample, seen, reason = [], 0, ""
        try:
            for seen, text in zip(range(1, _SAMPLE_LINES + 1), self._lines, strict=False):
                try:
                    sample.append(self._parse(text))
                except ValueError as error:
                    reason = reason or f"line {seen}: {error}"
        except _TooLongError as error:
            reason = reason or f"line {seen + 1}: {error}"
        self._lines.accept(0)
        if not sample:
            raise TableError(f"{self._name} holds no JSON object{reason and f' ({reason})'}")
        return sample

    def _next(self) -> Row | Unreadable | None:
        try:
            text = next(self._lines, None)
            if text is None:
                return None
            values = self._parse(text)
        except _TooLongError as error:
            return self._lines.unreadable(str(error))
        except ValueError as error:
            return self._lines.unreadable(str(error))
        return Row(self._lines.accept(), values)

    def _parse(self, text: str) -> dict[str, Any]:
        fault, self._lines.fault = self._lines.fault, None
        if fault or not text.strip():
            raise ValueError(fault or BLANK)
        try:
            values = self._decoder.decode(text.rstrip())
            if "\\u" in text:  # an escape can hold half of a surrogate pair, which no format can
                json.dumps(values, ensure_ascii=False).encode()
        except json.JSONDecodeError as error:
            if "\r" in text.rstrip():
                raise ValueError(_BARE_RETURN) from None
            raise ValueError(f"the JSON is broken: {error.msg} at column {error.colno}") from None
        except UnicodeEncodeError:
            raise ValueError("the JSON holds half of a surrogate pair, which is no text") from None
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None
        if not isinstance(values, dict):
            raise ValueError("the line holds JSON, but no object")
        return values


class _ParquetTable:
    def __init__(self, file: BinaryIO, name: str) -> None:
        arrow = import_pyarrow()
        self._name = name
        try:
            # A buffer makes Arrow read pages as they are needed instead of whole row groups.
            self._file = arrow.parquet.ParquetFile(file, buffer_size=LONGEST_RECORD)
        except (arrow.ArrowException, OSError) as error:
            raise TableError(f"{name} is no readable Parquet file: {error}") from None
        self.columns = _distinct(self._file.schema_arrow.names, name)
        self.size = self._file.metadata.num_rows
        self._done = 0
        # The footer holds the place and the statistics of every column: it tells files apart.
        file.seek(-8, os.SEEK_END)
        footer = int.from_bytes(file.read(4), "little") + 8
        file.seek(-footer, os.SEEK_END)
        self._digest = hashlib.blake2b(file.read(footer), digest_size=16).hexdigest()

    def __iter__(self) -> Iterator[Row | Unreadable]:
        for batch, _ in self._batches(_SAMPLE_LINES):
            yield from batch.rows()

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, Position]]:
        yield from self._batches(rows)

    def skip_to(self, position: Position) -> bool:
        self._done = position.line
        return position.digest == self._digest

    def arrow_schema(self) -> Any:
        return self._file.schema_arrow

    def _batches(self, rows: int) -> Iterator[tuple[Batch, Position]]:
        # One row group after another, so that batches end at the same rows wherever reading began.
        first, arrow = 0, import_pyarrow()
        try:
            for group in range(self._file.num_row_groups):
                if first + self._file.metadata.row_group(group).num_rows <= self._done:
                    first += self._file.metadata.row_group(group).num_rows
                    continue
                for batch in self._file.iter_batches(rows, row_groups=[group], use_threads=False):
                    line, first = first + 1, first + batch.num_rows
                    if first > self._done:
                        yield Batch(line, batch), Position(first, first, self._digest)
        except (arrow.ArrowException, OSError) as error:
            raise TableError(f"{self._name} is damaged after row {first}: {error}") from None


def import_pyarrow() -> Any:
    """Return the module `pyarrow`, which only Parquet needs.

    Raises:
        TableError: it isn't installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise TableError(
            "reading or writing Parquet needs pyarrow: pip install 'neuralbits[parquet]'"
        ) from None
    return pyarrow


def _distinct(columns: Sequence[str], name: str) -> tuple[str, ...]:
    for index, column in enumerate(columns):
        if column in columns[:index]:
            raise TableError(f"{name}: two columns are named {column!r}: rename one of them")
    return tuple(columns)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("the JSON object holds a key twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _python_values(column: Any) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:  # Arrow doesn't check that its strings are UTF-8
        return [_decoded(value) for value in column.cast(import_pyarrow().binary()).to_pylist()]
    except ValueError:  # nanoseconds, which Python's own types can't hold
        return column.cast(import_pyarrow().string()).to_pylist()  # type: ignore[no-any-return]


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
