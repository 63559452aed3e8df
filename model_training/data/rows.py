"""Rows of texts with their intents, one by one: which can be used, and why the others can't."""

import decimal
import math
import unicodedata
from collections import defaultdict
from typing import Any

from neuralbits.errors import shown
from neuralbits.tables import BLANK
from neuralbits.text import tokens

from .examples import OUT_OF_SCOPE, DataError, DataFile, Examples, Finding

UNUSABLE_SHARE = 0.1  # of the rows; more, and it's likely not the data that it's taken for


class Rows:
    """Collects the rows of a file, or of columns in memory.

    Args:
        name: of the file, for errors and findings.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: list[tuple[str, str, int]] = []
        self._joined: list[tuple[int, str]] = []  # line, all lines
        self._unusable: dict[str, list[tuple[int, str]]] = defaultdict(list)  # what: line, reason

    def add(self, text: Any, intent: Any, line: int, end: int | None = None) -> None:
        """Add a row; it is left out and reported if it can't be used.

        A text must be a string, as in scoring; an intent may be a whole number, too, and 1.0 is the
        intent ``1``.

        Args:
            text: of the row; None if it is missing.
            intent: of the row; None if it is missing.
            line: where the row starts, counted from 1.
            end: the line after the row.

        Raises:
            DataError: the intent has a control character.
        """
        intent, problem = _intent(intent)
        if text is not None and not isinstance(text, str):
            problem = f"the text is of type {type(text).__name__}: write it as a string"
        if problem:
            self._unusable["unreadable rows"].append((line, problem))
        elif not tokens(text or ""):
            self._unusable["rows without text"].append((line, "no text"))
        elif not intent:
            self._unusable["rows without intent"].append((line, "no intent"))
        elif control := _control_character(intent):
            raise DataError(
                f"{self._name}: the intent {shown(intent)} on line {line} holds a "
                f"control character, U+{ord(control):04X}: remove it"
            )
        else:
            self._rows.append((text, intent, line))
            if end is not None and end - line > 1:
                self._joined.append((line, f"lines {line} to {end - 1}"))

    def add_unreadable(self, line: int, reason: str) -> None:
        """Report a row that can't be read."""
        what = "blank lines" if reason == BLANK else "unreadable rows"
        self._unusable[what].append((line, reason))

    def file(self, sha256: str) -> DataFile:
        """Return all that was collected.

        Raises:
            DataError: too many rows can't be used, or none can.
        """
        name, rows, unusable = self._name, self._rows, self._unusable
        lost = sorted(
            at for what, places in unusable.items() if what != "blank lines" for at in places
        )
        if len(lost) > UNUSABLE_SHARE * (len(lost) + len(rows)):
            reasons = "; ".join(f"line {line}: {reason}" for line, reason in lost[:3])
            raise DataError(
                f"{name}: {len(lost)} of {len(lost) + len(rows)} rows can't be used ({reasons}): "
                "correct or remove them, or give another file"
            )
        if not rows:
            raise DataError(
                f"{name} holds no examples: give a file with a text and an intent a row"
            )
        findings = tuple(
            Finding(name, what, len(places), tuple(line for line, _ in places), places[0][1])
            for what, places in {**unusable, "records over several lines": self._joined}.items()
            if places
        )
        examples = Examples(*zip(*rows, strict=True))
        outside = [intent == OUT_OF_SCOPE for intent in examples.intents]
        return DataFile(
            name,
            sha256,
            examples.select(i for i, is_outside in enumerate(outside) if not is_outside),
            examples.select(i for i, is_outside in enumerate(outside) if is_outside),
            findings,
        )


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
