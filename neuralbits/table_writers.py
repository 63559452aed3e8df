"""Encode rows as the bytes of a table: CSV, TSV, JSONL and Parquet.

Every format is written by appending: first the header, then the bytes of any number of rows. So a
killed job can resume after the last complete bytes.
"""

import csv
import datetime
import decimal
import io
import json
import os
import re
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, Protocol

from neuralbits.errors import shown
from neuralbits.tables import import_pyarrow

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[\d.,\s]*\d(e[+-]?\d+)?%?", re.IGNORECASE)
_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 1 << 17, 1 << 26


class TableWriter(Protocol):
    """An encoder of one format; picklable, so that worker processes can use it."""

    header: bytes
    """The bytes before those of the rows."""

    def encode(self, rows: Sequence[dict[str, Any]]) -> bytes:
        """Return the rows' bytes.

        Raises:
            ValueError: the format can't represent one of the rows.
        """


class CsvWriter:
    """CSV or TSV. Nulls become empty cells; other values than strings become JSON.

    Args:
        columns: the keys of the rows.
        delimiter: one character.
        header: the names of the columns in the header line; by default, the keys.
        preamble: text before the header, such as a byte order mark.
        safe: put ``'`` before cells that a spreadsheet would run as formulas.
    """

    def __init__(
        self,
        columns: Sequence[str],
        delimiter: str,
        *,
        header: Sequence[str] | None = None,
        preamble: str = "",
        safe: bool = False,
    ) -> None:
        self._columns, self._delimiter, self._safe = columns, delimiter, safe
        names = list(header or columns)
        # Quoted names keep a reader from guessing another delimiter.
        quoted = any(set(name) & set(",;\t|=") for name in names)
        quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        self.header = preamble.encode() + self._lines([names], quoting)

    def encode(self, rows: Sequence[dict[str, Any]]) -> bytes:  # noqa: D102
        _refuse_unknown_columns(rows, self._columns)
        cells = [[_cell(row.get(name)) for name in self._columns] for row in rows]
        if self._safe:
            cells = [["'" + cell if is_formula(cell) else cell for cell in row] for row in cells]
        return self._lines(cells)

    def _lines(self, rows: list[list[str]], quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
        lines: list[str] = []

        class Sink:
            # The csv module quotes a bare carriage return only if its line terminator has one.
            def write(self, line: str) -> None:
                lines.append(line.removesuffix("\r\n") + "\n")

        csv.writer(
            Sink(), delimiter=self._delimiter, lineterminator="\r\n", quoting=quoting
        ).writerows(rows)
        return "".join(lines).encode()


class JsonLinesWriter:
    """JSONL. Dates, times and decimals become strings."""

    header = b""

    def encode(self, rows: Sequence[dict[str, Any]]) -> bytes:  # noqa: D102
        return "".join(_json(row) + "\n" for row in rows).encode()


class ParquetWriter:
    """Parquet, as a sequence of Arrow IPC streams that `streams_to_parquet` turns into the file.

    Streams can be appended and cut off, but a Parquet file is invalid without its last byte. In a
    column of strings, other values become JSON.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.header = self._stream([])

    def encode(self, rows: Sequence[dict[str, Any]]) -> bytes:  # noqa: D102
        _refuse_unknown_columns(rows, self._schema.names)
        return self._stream([_column(field, rows) for field in self._schema])

    def extend(self, batch: Any, kept: Sequence[int], rows: Sequence[dict[str, Any]]) -> bytes:
        """Return the bytes of a part of a ``pyarrow.RecordBatch`` with the schema's last columns.

        Args:
            batch: the record batch.
            kept: the indices of the rows to write.
            rows: the values of the added columns, one dictionary per kept row.
        """
        columns = batch.columns
        if len(kept) < batch.num_rows:
            columns = [_taken(column, kept) for column in columns]
        added = list(self._schema)[batch.num_columns :]
        return self._stream([*columns, *(_column(field, rows) for field in added)])

    def _stream(self, columns: list[Any]) -> bytes:
        arrow, sink = import_pyarrow(), io.BytesIO()
        with arrow.ipc.new_stream(sink, self._schema) as stream:
            if columns:
                stream.write_batch(arrow.RecordBatch.from_arrays(columns, schema=self._schema))
        return sink.getvalue()


def streams_to_parquet(source: BinaryIO, destination: BinaryIO) -> None:
    """Write the streams of a `ParquetWriter` as one Parquet file, in constant memory."""
    arrow = import_pyarrow()
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    with ExitStack() as stack:
        writer: Any = None
        pending: list[Any] = []
        while source.tell() < size:
            with arrow.ipc.open_stream(source) as stream:
                pending.extend(stream)
                writer = writer or stack.enter_context(
                    arrow.parquet.ParquetWriter(destination, stream.schema)
                )
            if pending and (
                source.tell() == size
                or sum(batch.num_rows for batch in pending) >= _ROW_GROUP_ROWS
                or sum(batch.nbytes for batch in pending) >= _ROW_GROUP_BYTES
            ):
                writer.write_table(arrow.Table.from_batches(pending))
                pending = []


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet would run a cell of CSV as a formula; a number isn't one.

    Example:
        >>> is_formula('=HYPERLINK("http://example.com")'), is_formula("-1.5")
        (True, False)
    """
    return cell[:1] in _FORMULA_STARTS and not _NUMBER.fullmatch(cell)


def _taken(column: Any, kept: Sequence[int]) -> Any:
    arrow = import_pyarrow()
    indices = arrow.array(kept, "int64")
    try:
        return column.take(indices)
    except arrow.ArrowNotImplementedError:  # pyarrow 26 can't take rows of view types
        return column.cast(_without_views(column.type)).take(indices).cast(column.type)


def _without_views(kind: Any) -> Any:
    """Return the type with view types replaced by types of the same values."""
    arrow = import_pyarrow()
    if arrow.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return arrow.struct([field.with_type(_without_views(field.type)) for field in fields])
    if arrow.types.is_list(kind) or arrow.types.is_large_list(kind):
        make = arrow.list_ if arrow.types.is_list(kind) else arrow.large_list
        return make(kind.value_field.with_type(_without_views(kind.value_type)))
    views = {arrow.string_view(): arrow.large_string(), arrow.binary_view(): arrow.large_binary()}
    return views.get(kind, kind)


def _column(field: Any, rows: Sequence[dict[str, Any]]) -> Any:
    arrow = import_pyarrow()
    cells = [row.get(field.name) for row in rows]
    if field.type == arrow.string():
        cells = [None if cell is None else _cell(cell) for cell in cells]
    # Arrow would silently convert 1.5 to 1, and True to 1.0.
    kinds = {"bool": (bool,), "int64": (int,), "double": (int, float)}.get(str(field.type))
    for cell in cells:
        if kinds and cell is not None and type(cell) not in kinds:
            raise ValueError(
                f"the column {shown(field.name)} has {shown(cell)}, but the first records have "
                f"{field.type}"
            )
    try:
        return arrow.array(cells, field.type)
    except (arrow.ArrowException, OverflowError) as error:
        raise ValueError(f"the column {shown(field.name)}: {shown(str(error))}") from None


def _refuse_unknown_columns(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    known = set(columns)
    for row in rows:
        if not row.keys() <= known:
            extra = next(name for name in row if name not in known)
            raise ValueError(f"the record has a column {shown(extra)} that the first records lack")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)  # JSON has no infinity
    if isinstance(value, bool | int | list | dict):
        return _json(value)
    return _as_text(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal | uuid.UUID):
        return str(value)
    raise ValueError(f"a value of type {type(value).__name__} can't be written as text")
