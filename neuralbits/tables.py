"""Read tables record by record in constant memory: CSV, TSV, JSONL and Parquet.

A record is a `Row` or, where the file is broken, an `Unreadable` with the reason; then reading
continues. No line is skipped silently, not even a blank one. docs/tables.md specifies delimiters,
encodings, line ends and quotes; the service's page follows the same rules.
"""

import codecs
import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn, Protocol, get_args

from neuralbits.errors import NeuralbitsError, shown

Format = Literal["csv", "tsv", "jsonl", "parquet"]

MAX_RECORD_BYTES = 1 << 20  # bytes; bounds what one missing quote or newline can cost
COMPRESSIONS = (".gz", ".zst")
_HEAD = 1 << 16  # bytes that determine a file's kind, its encoding and its delimiter
_SHOWN_COLUMNS = 20
BLANK = "the line is blank"
_SAMPLE_LINES = 1000  # of JSONL, which has no header, that determine the columns


class TableError(NeuralbitsError):
    """A file can't be read as a table."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record."""

    line: int
    """The 1-based number of its first line; in Parquet, of the row."""
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that isn't a row."""

    line: int
    """The 1-based number of its first line."""
    reason: str
    """Why the record can't be read."""
    raw: str
    """The text of the record; of a record that is too long, the first 1000 bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of a Parquet file as an Arrow record batch, which keeps all types."""

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
    """A place between two records."""

    line: int
    """The number of lines before it; in Parquet, of rows."""
    offset: int
    """The number of bytes before it; in Parquet, of rows."""
    digest: str
    """A hash that a resumed reading must match: of a pipe's bytes, or of a Parquet footer."""


class Dialect(NamedTuple):
    """The dialect of a CSV or TSV file, for an output in the same dialect."""

    delimiter: str
    preamble: str
    """A byte order mark and a line ``sep=``, if the file begins with them."""
    header: tuple[str, ...]
    """The names of the columns in the file; names can be empty or repeated."""
    lines: int
    """The number of lines before the first record."""


class Table(Protocol):
    """A table opened for reading, from its first record or from an earlier position."""

    name: str
    """The file's name, for messages."""
    columns: tuple[str, ...]
    """Distinct names: an unnamed column is called ``column 3``, a repeated one ``text (3)``."""
    repeated: frozenset[str]
    """The names that several columns share."""
    size: int | None
    """The table's size in the unit of `Position.offset`; None if it is unknown."""

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of CSV and TSV; None for other formats."""

    def __iter__(self) -> Iterator[Row | Unreadable]:
        """Yield every record, in the file's order."""

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, Position]]:
        """Yield runs of at most ``rows`` records, each with the position after it."""

    def skip_to(self, position: Position) -> bool:
        """Go to a position of an earlier reading; return False if the table has changed."""

    def holds_text(self, column: str) -> bool:
        """Return whether a column can have strings, by its type or by the first records."""

    def arrow_schema(self) -> Any:
        """Return the types of the columns as a ``pyarrow.Schema``."""


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format by a file name's ending; ``.gz`` or ``.zst`` may follow the ending.

    Raises:
        TableError: the ending is no known format.

    Example:
        >>> format_of("texts.tsv.gz")
        'tsv'
    """
    path = Path(path)
    ending = (path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()
    for known in get_args(Format):
        if ending == f".{known}":
            return known  # type: ignore[no-any-return]
    if ending == ".txt":
        return "csv"
    if path.is_file():
        with path.open("rb") as file:
            _refuse_other_kinds(file.read(_HEAD), str(path), None)
    raise TableError(
        f"{path}: a table's name must end in .csv, .tsv, .txt, .jsonl or .parquet, which .gz or "
        ".zst may follow"
    )


@contextmanager
def open_table(source: Path | BinaryIO, format: Format) -> Iterator[Table]:
    r"""Open a file or a binary stream as a table.

    A file whose name ends in ``.gz`` or ``.zst`` is decompressed.

    Raises:
        TableError: the file can't be read, is no table, or has no usable header.

    Example:
        >>> with open_table(io.BytesIO(b"text\nturn off the lamp\n"), "csv") as table:
        ...     [row.values for row in table]
        [{'text': 'turn off the lamp'}]
    """
    if format not in get_args(Format):
        raise TableError(f"{shown(format)} is no format: name csv, tsv, jsonl or parquet")
    with ExitStack() as stack:
        name = str(source) if isinstance(source, Path) else "standard input"
        file, rewindable = source, False
        if isinstance(source, Path):
            try:
                file = stack.enter_context(source.open("rb", buffering=MAX_RECORD_BYTES))
                rewindable = file.seekable()
            except OSError as error:
                raise TableError(f"{name} can't be read: {error.strerror}") from None
            if source.suffix.lower() in COMPRESSIONS:
                file, rewindable = _decompressed(file, source.suffix.lower(), name), False
        assert not isinstance(file, Path)
        head = _read_part(file, _HEAD, name)
        if rewindable:
            file.seek(0)
        else:
            file = io.BufferedReader(_Joined(head, file, name), MAX_RECORD_BYTES)
        _refuse_other_kinds(head, name, format)
        if format == "parquet":
            if not rewindable:  # Parquet's index is at the end of the file
                pipe, file = file, stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(pipe, file)
            yield _ParquetTable(file, name)
            return
        encoding, mark, text = _decoded_head(head, name)
        bare_returns = "\r" in text and "\n" not in text
        if encoding != "utf-8" or bare_returns:
            recoded = _Recoded(file, encoding, bare_returns, name)
            file, rewindable = io.BufferedReader(recoded, MAX_RECORD_BYTES), False
        lines = _Lines(file, rewindable=rewindable)
        if format == "jsonl":
            yield _JsonLinesTable(lines, name)
        else:
            yield _CsvTable(lines, name, mark, text, "," if format == "csv" else "\t")


def find_column(table: Table, wanted: str, option: str) -> str:
    """Find a column by its name, ignoring case and blanks around the name.

    Args:
        table: the table.
        wanted: the name.
        option: the command line's option for this name, for the error.

    Raises:
        TableError: the table has no such column, or several columns have the name.
    """
    if wanted in table.repeated:
        raise TableError(f"{table.name}: two columns are named {shown(wanted)}: rename one of them")
    if wanted in table.columns:
        return wanted
    alike = [name for name in table.columns if name.strip().lower() == wanted.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    if len(table.columns) == 1 and "|" in table.columns[0]:
        reason = f"the only column is {shown(table.columns[0])}: use commas, semicolons or tabs"
        raise TableError(f"{table.name} has no column {shown(wanted)}; {reason}")
    others = ", ".join(map(shown, table.columns[:_SHOWN_COLUMNS])) or "none"
    if len(table.columns) > _SHOWN_COLUMNS:
        others += f" and {len(table.columns) - _SHOWN_COLUMNS} more"
    raise TableError(
        f"{table.name} has no column {shown(wanted)}, only {others}: name the right one by {option}"
    )


# ---- What a file is ------------------------------------------------------------------------

_KINDS = (
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"RIFF", "an image or a sound (RIFF)"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ARROW1", "an Arrow file (Feather)"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\x7fELF", "a program"),
)
_OFFICE = ((b"xl/", "an Excel workbook"), (b"word/", "a Word document"))


def _refuse_other_kinds(head: bytes, name: str, format: Format | None) -> None:
    """Check by a file's first bytes that it isn't a known kind of other file.

    Raises:
        TableError: the file is no table, or a table of another format.
    """
    kind = next((kind for start, kind in _KINDS if head.startswith(start)), None)
    if head.startswith(b"PK\x03\x04"):
        kind = next((kind for part, kind in _OFFICE if part in head), "a ZIP archive")
        if b"application/vnd.oasis.opendocument.spreadsheet" in head:
            kind = "an OpenDocument spreadsheet"
    if re.match(rb"\s*<(!doctype html|html|\?xml)", head, re.IGNORECASE):
        kind = "a web page or XML"
    if kind and kind.startswith("compressed"):
        raise TableError(
            f"{name} is {kind}: decompress it, or, for gzip or zstd, end its name in .gz or .zst"
        )
    if kind:
        raise TableError(f"{name} is {kind}, no table: save it as CSV")
    if head.startswith(b"PAR1") and format != "parquet":
        raise TableError(f"{name} is a Parquet file: end its name in .parquet")


def _decoded_head(head: bytes, name: str) -> tuple[str, str, str]:
    """Return a file's encoding, its byte order mark, and the beginning of its text.

    Raises:
        TableError: the encoding isn't supported.
    """
    encoding = "utf-8"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise TableError(f"{name} is in UTF-32: save it as UTF-8")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif head[:2].count(0) == 1:
        raise TableError(f"{name} looks like UTF-16 without a byte order mark: save it as UTF-8")
    text = head.decode(encoding, "replace")
    mark = "\ufeff" if encoding == "utf-16" or text.startswith("\ufeff") else ""
    return encoding, mark, text.removeprefix("\ufeff")


def looks_like(content: bytes) -> str:
    """Guess the encoding of bytes that aren't UTF-8; return "" without a guess.

    Single bytes above 127 between ASCII letters suggest Windows-1252; runs of such bytes suggest
    another alphabet.

    Example:
        >>> looks_like("café".encode("cp1252"))
        'Windows-1252'
    """
    runs = re.findall(rb"[\x80-\xff]+", content)
    if sum(map(len, runs)) < 2 * len(runs):
        return "Windows-1252"
    if all(byte >= 0xC0 or byte in (0xA8, 0xB8) for run in runs for byte in run):
        return "Windows-1251"
    for encoding, title in (("shift_jis", "Shift JIS"), ("gb18030", "GB 18030")):
        try:
            content.decode(encoding)
            return title
        except UnicodeDecodeError:
            continue
    return ""


def _decompressed(file: BinaryIO, ending: str, name: str) -> BinaryIO:
    if ending == ".gz":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14

        return zstd.open(file)  # type: ignore[no-any-return]
    except ImportError:
        pass
    try:
        import pyarrow
    except ImportError:
        raise TableError(
            f"{name}: reading zstd needs Python 3.14, or pyarrow: pip install 'neuralbits[parquet]'"
        ) from None
    return pyarrow.input_stream(file, compression="zstd")  # type: ignore[no-any-return]


def _read_part(file: BinaryIO, size: int, name: str) -> bytes:
    """Read from a file that may be compressed.

    Raises:
        TableError: the file can't be read, or its compressed data are damaged.
    """
    try:
        return file.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise TableError(f"{name} is damaged or cut short: its compressed data end early") from None
    except OSError as error:  # pyarrow's errors have no strerror
        raise TableError(f"{name} can't be read: {error.strerror or shown(str(error))}") from None


class _Joined(io.RawIOBase):
    """A stream whose beginning was already read: the beginning, then the rest."""

    def __init__(self, head: bytes, file: BinaryIO, name: str) -> None:
        self._ready, self._file, self._name = head, file, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            self._ready = self._more()
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def _more(self) -> bytes:
        return _read_part(self._file, _HEAD, self._name)


class _Recoded(_Joined):
    """A stream recoded to UTF-8, with bare carriage returns replaced by newlines."""

    def __init__(self, file: BinaryIO, encoding: str, bare_returns: bool, name: str) -> None:
        super().__init__(b"", file, name)
        # Bytes that aren't UTF-8 pass unchanged, so that `_Lines` can report their lines.
        errors = "strict" if encoding == "utf-16" else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._bare_returns = bare_returns

    def _more(self) -> bytes:
        while part := super()._more():
            try:
                text = self._decoder.decode(part)
            except UnicodeDecodeError as error:
                raise TableError(f"{self._name} isn't valid UTF-16: {error.reason}") from None
            if text:
                break
        else:
            return b""
        if self._bare_returns:
            text = text.replace("\r", "\n")
        return text.encode(errors="surrogateescape")


# ---- Lines -----------------------------------------------------------------------------------

_TOO_LONG = f"the record is longer than {MAX_RECORD_BYTES} bytes: is a closing quote missing?"
_BARE_RETURN = "lines end in a bare carriage return: save the file with newlines"


class _TooLongError(Exception):
    """The current record is longer than `MAX_RECORD_BYTES`; the message says why it may be."""


class _Line(NamedTuple):
    raw: bytes  # the line, or its first bytes if it is too long
    size: int


class _Lines:
    """The decoded lines of a file; lines of the current record can be given back.

    This is an iterator, not a generator, because csv.reader continues with it after an exception.
    """

    def __init__(self, file: BinaryIO, *, rewindable: bool) -> None:
        self._file = file
        self._rewindable = rewindable
        self._digest = None if rewindable else hashlib.blake2b(digest_size=16)
        self._ahead: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_size = 0
        self.line = 0
        """The number of lines of the earlier records."""
        self.offset = 0
        self.fault: str | None = None  # why the current record is no text, or None
        self.size = os.fstat(file.fileno()).st_size if rewindable else None

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._read()
        if not line.size:
            raise StopIteration
        self._taken.append(line)
        self._taken_size += line.size
        if self._taken_size > MAX_RECORD_BYTES:
            bare = line.size > MAX_RECORD_BYTES and b"\r" in line.raw.rstrip(b"\r\n")
            raise _TooLongError(_BARE_RETURN if bare else _TOO_LONG)
        try:
            text = line.raw.decode()
        except UnicodeDecodeError as error:
            self.fault = f"byte {error.start + 1} of the line, 0x{line.raw[error.start]:02x}, "
            guess = looks_like(line.raw)
            self.fault += "is no UTF-8" + (f" and looks like {guess}" if guess else "")
            self.fault += ": save the file as UTF-8"
            text = line.raw.decode(errors="replace")
        if "\0" in text:
            self.fault = "the line holds a NUL byte"
        if self.offset == 0 and len(self._taken) == 1:
            text = text.removeprefix("\ufeff")
        return text

    @property
    def taken(self) -> int:
        """The number of lines of the current record so far."""
        return len(self._taken)

    @property
    def first(self) -> bytes:
        """The first line of the current record; of a line that is too long, its first bytes."""
        return self._taken[0].raw

    def all_taken(self) -> Iterator[bytes]:
        """Return all lines of the current record."""
        return (line.raw for line in self._taken)

    def give_back_after_first(self) -> None:
        """Give back all lines but the first, and clear the fault, which the first doesn't have."""
        self._ahead.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        self.fault = None

    def accept(self, count: int | None = None) -> int:
        """End the record after ``count`` of the lines taken, and return its first line's number."""
        first = self.line + 1
        record = self._taken[:count]
        self._ahead.extendleft(reversed(self._taken[len(record) :]))
        for line in record:
            self.offset += line.size
            if self._digest:
                self._digest.update(line.raw)
        self.line += len(record)
        self._taken, self._taken_size, self.fault = [], 0, None
        return first

    def unreadable(self, reason: str, count: int | None = None) -> Unreadable:
        """End the record like `accept`, and return it as unreadable."""
        raw = b"".join(line.raw for line in self._taken[:count])
        text = raw.decode(errors="backslashreplace").rstrip("\r\n")
        return Unreadable(self.accept(count), reason, text)

    def position(self) -> Position:
        """Return the place after the last record."""
        digest = self._digest.hexdigest() if self._digest else ""
        return Position(self.line, self.offset, digest)

    def skip_to(self, position: Position) -> bool:
        if self._rewindable:
            self._ahead.clear()
            self.line, self.offset = position.line, position.offset
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
        raw = part = self._file.readline(MAX_RECORD_BYTES)
        size = len(raw)
        while len(part) == MAX_RECORD_BYTES and not part.endswith(b"\n"):
            part = self._file.readline(MAX_RECORD_BYTES)
            size += len(part)
        return _Line(raw if size <= MAX_RECORD_BYTES else raw[:1000], size)


class _LineTable:
    """The common part of CSV and JSONL, whose records consist of lines."""

    columns: tuple[str, ...]
    repeated: frozenset[str] = frozenset()

    def __init__(self, lines: _Lines, name: str) -> None:
        self._lines, self.name = lines, name
        self.size = lines.size

    def __iter__(self) -> Iterator[Row | Unreadable]:
        while (record := self._next()) is not None:
            yield record

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, Position]]:
        chunk: list[Row | Unreadable] = []
        start = self._lines.offset
        for record in self:
            chunk.append(record)
            if len(chunk) == rows or self._lines.offset - start >= MAX_RECORD_BYTES:
                yield chunk, self._lines.position()
                chunk, start = [], self._lines.offset
        if chunk:
            yield chunk, self._lines.position()

    def skip_to(self, position: Position) -> bool:
        return self._lines.skip_to(position)

    def _next(self) -> Row | Unreadable | None:
        raise NotImplementedError


def _delimiter(head: str, usual: str) -> tuple[bool, str]:
    """Return whether a line ``sep=`` names the delimiter, and the delimiter."""
    line = re.split(r"[\r\n]", head, maxsplit=1)[0]
    if named := re.fullmatch(r"sep=([,;\t|])", line, re.IGNORECASE):
        return True, named[1]
    [unquoted] = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", head), maxsplit=1)[:1]
    return False, max((usual, ",", ";", "\t"), key=unquoted.count)


def _quotes(head: str, delimiter: str) -> bool:
    """Return whether the file uses quoting: some field that needs quotes has them."""
    end = re.escape(delimiter) + r"\r\n"
    fields = re.finditer(rf'(?:^|[{end}])"((?:[^"\r\n]|"")*)"(?=[{end}]|$)', head)
    return any(delimiter in field[1] or '""' in field[1] for field in fields)


class _CsvTable(_LineTable):
    dialect: Dialect

    def __init__(self, lines: _Lines, name: str, mark: str, head: str, usual: str) -> None:
        super().__init__(lines, name)
        self.columns = ()
        # The csv module's limit of 128 KiB per field is global: raise it, never lower it.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
        named, self._delimiter = _delimiter(head, usual)
        if named:
            mark += next(lines).rstrip("\r\n") + "\n"
            lines.accept()
        self._quotes = _quotes(head, self._delimiter)
        self._reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        header = self._next_cells()
        if header is None:
            raise TableError(f"{name} is empty: its first line must name the columns")
        if isinstance(header, Unreadable):
            raise TableError(f"{name}: the header can't be read: {header.reason}")
        before = lines.taken + named
        self._lines.accept()
        self.columns, self.repeated = _distinct(header)
        self.dialect = Dialect(self._delimiter, mark, tuple(header), before)

    def holds_text(self, column: str) -> bool:
        return True

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
        """Read a record; the caller accepts its lines, unless the record is `Unreadable`."""
        try:
            cells = next(self._reader, None)
        except _TooLongError as error:
            return self._with_quotes_as_text(str(error))
        except csv.Error as error:
            detail = str(error).partition(" - ")[0]  # without the advice to programmers
            if self._lines.fault and self._lines.taken == 1:
                reason = self._lines.fault  # the cause: bytes that are no text break the quoting
            elif detail.startswith("new-line character"):
                reason = _BARE_RETURN
            else:
                return self._with_quotes_as_text(f"the quoting is broken: {detail}")
            return self._lines.unreadable(reason, count=1)
        if self._lines.taken > 1 and not self._quotes and self._each_line_is_a_record():
            first, last = self._lines.line + 1, self._lines.line + self._lines.taken
            reason = f"a quotation mark opens on line {first} and closes on line {last}, but each "
            reason += "line is a record by itself: close the mark, or double it"
            if self._delimiter == "\t":
                return self._with_quotes_as_text(reason)
            return self._lines.unreadable(reason)
        if self._lines.fault:
            return self._lines.unreadable(self._lines.fault)
        return self._lines.unreadable(BLANK) if cells == [] else cells

    def _each_line_is_a_record(self) -> bool:
        """Return whether, without quoting, each line has as many fields as the header."""
        fields = len(self.columns)
        delimiter = self._delimiter.encode()
        return fields > 1 and all(
            line.count(delimiter) + 1 == fields for line in self._lines.all_taken()
        )

    def _with_quotes_as_text(self, reason: str) -> list[str] | Unreadable:
        """Read only the first line of a record whose quotes don't match.

        Programs that write TSV often don't quote. So in TSV a quotation mark is text if the line
        then has as many fields as the header. Reading continues at the second line.
        """
        line, cells = self._lines.first, []
        if self._delimiter == "\t" and b"\0" not in line:
            with suppress(UnicodeDecodeError):
                cells = line.decode().rstrip("\r\n").split("\t")
        if not cells or len(cells) != len(self.columns):
            return self._lines.unreadable(reason, count=1)
        self._lines.give_back_after_first()
        return cells


class _JsonLinesTable(_LineTable):
    dialect = None

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

    def holds_text(self, column: str) -> bool:
        return bool(self._types[column] & {str, type(None)})

    def arrow_schema(self) -> Any:
        arrow = import_pyarrow()
        kinds = {
            frozenset({bool}): arrow.bool_(),
            frozenset({int}): arrow.int64(),
            frozenset({float}): arrow.float64(),
            frozenset({int, float}): arrow.float64(),
        }
        return arrow.schema(
            # Columns of other or mixed types become JSON text: see table_writers.py.
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
            raise TableError(f"{self.name} holds no JSON object{reason and f' ({reason})'}")
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
            if "\\u" in text:  # an escape can be a lone surrogate, which no output can represent
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
    dialect = None

    def __init__(self, file: BinaryIO, name: str) -> None:
        arrow = import_pyarrow()
        self.name = name
        try:
            # With a buffer, Arrow reads single pages instead of whole row groups.
            self._file = arrow.parquet.ParquetFile(file, buffer_size=MAX_RECORD_BYTES)
        except (arrow.ArrowException, OSError) as error:
            raise TableError(f"{name} isn't a valid Parquet file: {shown(str(error))}") from None
        self.columns, self.repeated = _distinct(self._file.schema_arrow.names)
        self.size = self._file.metadata.num_rows
        self._done = 0
        # The footer has the offset and the statistics of every column, so it identifies the file.
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

    def holds_text(self, column: str) -> bool:
        arrow = import_pyarrow()
        kind = self._file.schema_arrow.field(self.columns.index(column)).type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        types = arrow.string(), arrow.large_string(), arrow.string_view(), arrow.null()
        return kind in types

    def arrow_schema(self) -> Any:
        return self._file.schema_arrow

    def _batches(self, rows: int) -> Iterator[tuple[Batch, Position]]:
        # One row group at a time, so that batches end at the same rows wherever reading starts.
        first, arrow = 0, import_pyarrow()
        try:
            for group in range(self._file.num_row_groups):
                if first + self._file.metadata.row_group(group).num_rows <= self._done:
                    first += self._file.metadata.row_group(group).num_rows
                    continue
                for batch in self._file.iter_batches(rows, row_groups=[group], use_threads=False):
                    line, first = first + 1, first + batch.num_rows
                    if first > self._done:
                        if self.repeated:
                            batch = arrow.RecordBatch.from_arrays(batch.columns, list(self.columns))
                        yield Batch(line, batch), Position(first, first, self._digest)
        except (arrow.ArrowException, OSError) as error:
            reason = shown(str(error))
            raise TableError(f"{self.name} is damaged after row {first}: {reason}") from None


def import_pyarrow() -> Any:
    """Return the module `pyarrow`, which Parquet needs.

    Raises:
        TableError: pyarrow isn't installed.
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


def _distinct(header: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return a distinct name for each column, and the names that several columns share."""
    repeated = {name for name, count in Counter(header).items() if name and count > 1}
    columns: dict[str, None] = {}
    for place, name in enumerate(header, 1):
        if not name:
            name = f"column {place}"
        elif name in columns:
            name = f"{name} ({place})"
        while name in columns or (name != header[place - 1] and name in header):
            name += "_"
        columns[name] = None
    return tuple(columns), frozenset(repeated)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("the JSON object holds a key twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _python_values(column: Any) -> list[Any]:
    pyarrow = import_pyarrow()
    try:
        if getattr(column.type, "unit", None) == "ns":
            column = column.cast(_in_microseconds(column.type))
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:  # Arrow doesn't check that its strings are UTF-8
        return [_decoded(value) for value in column.cast(pyarrow.binary()).to_pylist()]
    except ValueError:  # nanoseconds, which Python's types can't represent
        return column.cast(pyarrow.string()).to_pylist()  # type: ignore[no-any-return]


def _in_microseconds(kind: Any) -> Any:
    """Return the type of times in microseconds for one in nanoseconds.

    Of nanoseconds Arrow would make pandas' types where pandas is installed, and Python's elsewhere.
    """
    pyarrow = import_pyarrow()
    if pyarrow.types.is_timestamp(kind):
        return pyarrow.timestamp("us", kind.tz)
    return pyarrow.duration("us") if pyarrow.types.is_duration(kind) else pyarrow.time64("us")


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
