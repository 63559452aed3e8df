"""Read a file of labelled texts: CSV, TSV, JSONL or Parquet (docs/tables.md)."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from neuralbits.tables import (
    Batch,
    Format,
    TableError,
    Unreadable,
    find_column,
    format_of,
    open_table,
)

from .examples import OUT_OF_SCOPE, DataError, DataFile
from .rows import Rows

_CHUNK_ROWS = 1024


def load_file(
    path: Path,
    text_column: str = "text",
    label_column: str | None = "intent",
    *,
    name: str | None = None,
) -> DataFile:
    """Read a CSV, TSV, JSONL or Parquet file of labelled texts; ``-`` is standard input.

    Without a label column, no row has an intent: all are taken for ``out_of_scope``. ``name``
    stands for the path in findings and errors. Rows that can't be used are left out and reported. A
    text must be a string, as in scoring; an intent may be a whole number, too, and 1.0 is the
    intent ``1``.

    Raises:
        DataError: the file can't be read, lacks a column, has an intent with a control character,
            has too many rows that can't be used, or none that can.
    """
    name = name or str(path)
    rows = Rows(name)
    try:
        with _source(path) as (source, format), open_table(source, format) as table:
            text_column = find_column(table, text_column, "--text-column")
            if label_column is not None:
                label_column = find_column(table, label_column, "--label-column")
            for chunk, position in table.chunks(_CHUNK_ROWS):
                records = chunk.rows() if isinstance(chunk, Batch) else chunk
                ends = [*(record.line for record in records[1:]), position.line + 1]
                for record, end in zip(records, ends, strict=True):
                    if isinstance(record, Unreadable):
                        rows.add_unreadable(record.line, record.reason)
                        continue
                    values = record.values
                    intent = values.get(label_column) if label_column else OUT_OF_SCOPE
                    rows.add(values.get(text_column), intent, record.line, end)
            sha256 = _sha256(source)
    except TableError as error:
        raise DataError(str(error)) from None
    return rows.file(sha256)


@contextmanager
def _source(path: Path) -> Iterator[tuple[Path | BinaryIO, Format]]:
    """Yield what to read a table from, and its format; that of standard input is found out."""
    if str(path) != "-":
        yield path, format_of(path)
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
        start = file.read(4)
        file.seek(0)
        yield file, "parquet" if start == b"PAR1" else "jsonl" if start[:1] == b"{" else "csv"


def _sha256(source: Path | BinaryIO) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    source.seek(0)
    return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]
