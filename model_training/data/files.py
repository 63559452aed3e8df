"""Read a file of labelled texts: CSV, TSV, JSONL or Parquet (docs/tables.md)."""

import decimal
import hashlib
import math
import shutil
import sys
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from neuralbits.errors import shown
from neuralbits.tables import (
    BLANK,
    Batch,
    Format,
    TableError,
    Unreadable,
    find_column,
    format_of,
    open_table,
)
from neuralbits.text import tokens

from .examples import (
    OUT_OF_SCOPE,
    DataError,
    DataFile,
    Examples,
    Finding,
)

_CHUNK_ROWS = 1024
UNUSABLE_SHARE = 0.1  # of the rows of a file; more, and it's likely not the file it's taken for


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
    rows: list[tuple[str, str, int]] = []
    joined: list[tuple[int, str]] = []  # line, all lines
    unusable: dict[str, list[tuple[int, str]]] = defaultdict(list)  # what -> line, reason
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
                        what = "blank lines" if record.reason == BLANK else "unreadable rows"
                        unusable[what].append((record.line, record.reason))
                        continue
                    text = record.values.get(text_column)
                    intent, problem = OUT_OF_SCOPE, ""
                    if label_column is not None:
                        intent, problem = _intent(record.values.get(label_column))
                    if text is not None and not isinstance(text, str):
                        problem = f"the text is of type {type(text).__name__}: write it as a string"
                    if problem:
                        unusable["unreadable rows"].append((record.line, problem))
                    elif not tokens(text or ""):
                        unusable["rows without text"].append((record.line, "no text"))
                    elif not intent:
                        unusable["rows without intent"].append((record.line, "no intent"))
                    elif control := _control_character(intent):
                        raise DataError(
                            f"{name}: the intent {shown(intent)} on line {record.line} holds a "
                            f"control character, U+{ord(control):04X}: remove it"
                        )
                    else:
                        rows.append((text or "", intent, record.line))
                        if end - record.line > 1:
                            first = f"lines {record.line} to {end - 1}"
                            joined.append((record.line, first))
            sha256 = _sha256(source)
    except TableError as error:
        raise DataError(str(error)) from None

    lost = sorted(at for what, places in unusable.items() if what != "blank lines" for at in places)
    if len(lost) > UNUSABLE_SHARE * (len(lost) + len(rows)):
        reasons = "; ".join(f"line {line}: {reason}" for line, reason in lost[:3])
        raise DataError(
            f"{name}: {len(lost)} of {len(lost) + len(rows)} rows can't be used ({reasons}): "
            "correct or remove them, or give another file"
        )
    if not rows:
        raise DataError(f"{name} holds no examples: give a file with a text and an intent a row")
    findings = tuple(
        Finding(name, what, len(places), tuple(line for line, _ in places), places[0][1])
        for what, places in {**unusable, "records over several lines": joined}.items()
        if places
    )
    examples = Examples(*zip(*rows, strict=True))
    return DataFile(
        name,
        sha256,
        examples.select(i for i, intent in enumerate(examples.intents) if intent != OUT_OF_SCOPE),
        examples.select(i for i, intent in enumerate(examples.intents) if intent == OUT_OF_SCOPE),
        findings,
    )


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


def _intent(value: Any) -> tuple[str, str]:
    """Return a label as an intent, "" if it is missing; or why it can't be one.

    A whole number that a program stored as a float, as it does where labels are missing, is the
    whole number.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "", ""
    if isinstance(value, str):
        return value.strip(), ""
    if isinstance(value, bool):
        written = str(value).lower()
        return "", f'the intent is the boolean {written}: write it as a string, "{written}"'
    if isinstance(value, int | float | decimal.Decimal):
        if math.isfinite(value) and value == int(value):
            return str(int(value)), ""
        return "", f'the intent is the number {value}: write it as a string, "{value}"'
    return "", f"the intent is of type {type(value).__name__}: write it as a string"


def _control_character(text: str) -> str:
    """Return a character that ends a line, controls a terminal or reverses text, or ""."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return character
        if unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "LRI", "RLI"):
            return character
    return ""
