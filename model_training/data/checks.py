"""Check files of examples one by one and against each other.

Two texts are the same if they have the same tokens: to the classifier they are.
"""

import re
import unicodedata
from collections import Counter, defaultdict

from neuralbits.errors import shown
from neuralbits.table_writers import is_formula
from neuralbits.text import key

from .examples import OUT_OF_SCOPE, DataError, DataFile, Finding


def repetitions(file: DataFile) -> list[Finding]:
    """Find the texts that stand in a file again, with the same intent or with another."""
    examples = file.examples + file.out_of_scope
    intents_of: dict[str, dict[str, int]] = defaultdict(dict)  # text -> intent -> its first line
    again: dict[str, list[int]] = {"duplicates": [], "contradictory labels": []}
    first: dict[str, str] = {}
    for text, intent, line in zip(examples.texts, examples.intents, examples.lines, strict=True):
        seen = intents_of[key(text)]
        if intent in seen:
            what, sample = "duplicates", f"{_short(text)} also stands on line {seen[intent]}"
        elif seen:
            what = "contradictory labels"
            other, at = next(iter(seen.items()))
            sample = f"{_short(text)} is {intent} here and {other} on line {at}"
        if seen:
            again[what].append(line)
            first.setdefault(what, sample)
        seen.setdefault(intent, line)
    return [
        Finding(file.name, what, len(lines), tuple(sorted(lines)), first[what])
        for what, lines in again.items()
        if lines
    ]


def names(file: DataFile) -> list[Finding]:
    """Find the intents whose names may be a mistake.

    Those are names that differ only by case, blanks, ``_``, ``-`` or Unicode form, names that
    probably mean ``oos``, and names that a spreadsheet runs as formulas.
    """
    examples = file.examples + file.out_of_scope
    first_lines: dict[str, int] = {}
    for intent, line in zip(examples.intents, examples.lines, strict=True):
        first_lines.setdefault(intent, line)
    alike: dict[str, list[str]] = defaultdict(list)
    for intent in first_lines:
        alike[_plain(intent)].append(intent)

    def finding(what: str, intents: list[str], shown_first: int = 1) -> list[Finding]:
        if not intents:
            return []
        first = ", ".join(
            f"{_short(each)} on line {first_lines[each]}" for each in intents[:shown_first]
        )
        lines = tuple(first_lines[each] for each in intents)
        return [Finding(file.name, what, len(intents), lines, first)]

    groups = [group for group in alike.values() if len(group) > 1]
    meant = [each for each in first_lines if _plain(each) in _MEAN_OUT_OF_SCOPE]
    return [
        *finding(
            "intents whose names differ only by case, blanks, _, - or Unicode form",
            [each for group in groups for each in group],
            len(groups[0]) if groups else 0,
        ),
        *finding(
            f"intents that probably mean out-of-scope texts, which are labelled {OUT_OF_SCOPE!r}",
            [each for each in meant if each != OUT_OF_SCOPE],
        ),
        *finding(
            "intents that a spreadsheet runs as formulas, unless scored with --safe-csv",
            [each for each in first_lines if is_formula(each)],
        ),
    ]


_MEAN_OUT_OF_SCOPE = ("oos", "out of scope", "outofscope", "ood", "out of domain")


def _plain(name: str) -> str:
    """Return a name without what people rarely mean to distinguish."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def single_examples(train: DataFile) -> list[Finding]:
    """Find the intents with one example: it is trained on, and nothing can measure it."""
    counts = Counter(train.examples.intents)
    single = [
        (line, intent)
        for intent, line in zip(train.examples.intents, train.examples.lines, strict=True)
        if counts[intent] == 1
    ]
    if not single:
        return []
    lines = tuple(line for line, _ in single)
    return [Finding(train.name, "intents with a single example", len(lines), lines, single[0][1])]


def leaks(files: list[DataFile]) -> list[Finding]:
    """Find the texts that an earlier file holds already, in scope or out of it."""
    place: dict[str, str] = {}
    found = []
    for file in files:
        examples = file.examples + file.out_of_scope
        keys = [key(text) for text in examples.texts]
        leaked = [i for i, known in enumerate(keys) if known in place]
        if leaked:
            lines = tuple(examples.lines[i] for i in leaked)
            first = f"{_short(examples.texts[leaked[0]])} is {place[keys[leaked[0]]]}"
            found.append(Finding(file.name, "texts seen before", len(lines), lines, first))
        for text, line in zip(keys, examples.lines, strict=True):
            place.setdefault(text, f"line {line} of {file.name}")
    return found


def refuse_unseen_intents(file: DataFile, train: DataFile) -> None:
    """Check that a file has no intents that the training file lacks.

    Raises:
        DataError: it has.
    """
    known = set(train.examples.intents)
    unseen: dict[str, int] = {}
    for intent, line in zip(file.examples.intents, file.examples.lines, strict=True):
        if intent not in known:
            unseen.setdefault(intent, line)
    if unseen:
        places = ", ".join(
            f"{intent!r} on line {line}" for intent, line in list(unseen.items())[:5]
        )
        raise DataError(
            f"{file.name} holds {len(unseen)} intent{'s'[: len(unseen) != 1]} that {train.name} "
            f"lacks ({places}): add training examples of them, or label the rows "
            f"{OUT_OF_SCOPE!r} if the classifier is to refuse them"
        )


def _short(text: str) -> str:
    return shown(text, 60)
