"""Read a file of labelled texts: CSV, TSV, JSONL or Parquet."""

import hashlib
from collections import defaultdict
from pathlib import Path

from neuralbits.tables import (
    BLANK,
    TableError,
    Unreadable,
    format_of,
    missing_column,
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

UNUSABLE_SHARE = 0.1  # of the rows of a file; more, and it's likely not the file it's taken for


def load_file(
    path: Path,
    text_column: str = "text",
    label_column: str | None = "intent",
    *,
    name: str | None = None,
) -> DataFile:
    """Read a CSV, TSV, JSONL or Parquet file of labelled texts.

    Without a label column, no row has an intent: all are taken for ``out_of_scope``. ``name``
    stands for the path in findings and errors. Rows that can't be used are left out and reported. A
    text must be a string, as in scoring; an intent may be a whole number, too.

    Raises:
        DataError: the file can't be read, lacks a column, has too many rows that can't be used, or
            none that can.
    """
    name = name or str(path)
    rows: list[tuple[str, str, int]] = []
    unusable: dict[str, list[tuple[int, str]]] = defaultdict(list)  # what -> line, reason
    try:
        with open_table(path, format_of(path)) as table:
            for column, option in (
                (text_column, "--text-column"),
                (label_column, "--label-column"),
            ):
                if column is not None and column not in table.columns:
                    raise DataError(f"{name} {missing_column(table.columns, column, option)}")
            for record in table:
                if isinstance(record, Unreadable):
                    what = "blank lines" if record.reason == BLANK else "unreadable rows"
                    unusable[what].append((record.line, record.reason))
                    continue
                text = record.values.get(text_column)
                intent = record.values.get(label_column) if label_column else OUT_OF_SCOPE
                text, intent = ("" if value is None else value for value in (text, intent))
                if not isinstance(text, str):
                    reason = f"the text is of type {type(text).__name__}"
                    unusable["unreadable rows"].append((record.line, reason))
                # To Python, True is a whole number.
                elif not isinstance(intent, str | int) or isinstance(intent, bool):
                    reason = f"the intent is of type {type(intent).__name__}"
                    unusable["unreadable rows"].append((record.line, reason))
                elif not tokens(text):
                    unusable["rows without text"].append((record.line, "no text"))
                elif not str(intent).strip():
                    unusable["rows without intent"].append((record.line, "no intent"))
                else:
                    rows.append((text, str(intent).strip(), record.line))
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except TableError as error:
        raise DataError(str(error)) from None

    lost = sorted(at for what, places in unusable.items() if what != "blank lines" for at in places)
    if len(lost) > UNUSABLE_SHARE * (len(lost) + len(rows)):
        reasons = "; ".join(f"line {line}: {reason}" for line, reason in lost[:3])
        raise DataError(
            f"{name}: {len(lost)} of {len(lost) + len(rows)} rows can't be used ({reasons}): mend "
            "or remove them, or give another file"
        )
    if not rows:
        raise DataError(f"{name} holds no examples: give a file with a text and an intent a row")
    findings = tuple(
        Finding(name, what, len(places), tuple(line for line, _ in places), places[0][1])
        for what, places in unusable.items()
    )
    examples = Examples(*zip(*rows, strict=True))
    return DataFile(
        name,
        sha256,
        examples.select(i for i, intent in enumerate(examples.intents) if intent != OUT_OF_SCOPE),
        examples.select(i for i, intent in enumerate(examples.intents) if intent == OUT_OF_SCOPE),
        findings,
    )
