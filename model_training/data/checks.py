"""Check files of examples one by one and against each other.

Two texts are the same if they have the same tokens: to the classifier they are.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import replace

from scipy.special import betaincinv

from neuralbits.errors import shown
from neuralbits.table_writers import is_formula
from neuralbits.text import key

from .examples import OUT_OF_SCOPE, DataFile, Finding

_UNCERTAIN = 0.1  # an accuracy, above or below

MIN_EXAMPLES = 20  # of an intent: with fewer, validation holds two of them at most


def repetitions(file: DataFile) -> list[Finding]:
    """Find the texts that stand in a file again, with the same intent or with another."""
    examples = file.rows
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
    examples = file.rows
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


def rare_intents(train: DataFile) -> list[Finding]:
    """Find the intents with so few examples that no false-reject rate can be promised for them."""
    counts = Counter(train.examples.intents)
    rare = {intent: count for intent, count in counts.items() if 1 < count < MIN_EXAMPLES}
    if not rare:
        return []
    what = f"intents with fewer than {MIN_EXAMPLES} examples, which may be rejected too often"
    intent = min(rare, key=lambda intent: (rare[intent], intent))
    return [Finding(train.name, what, len(rare), (), f"{intent}, {rare[intent]} examples")]


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
        examples = file.rows
        keys = [key(text) for text in examples.texts]
        leaked = [i for i, known in enumerate(keys) if known in place]
        if leaked:
            lines = tuple(examples.lines[i] for i in leaked)
            first = f"{_short(examples.texts[leaked[0]])} is {place[keys[leaked[0]]]}"
            found.append(Finding(file.name, "texts seen before", len(lines), lines, first))
        for text, line in zip(keys, examples.lines, strict=True):
            place.setdefault(text, f"line {line} of {file.name}")
    return found


def measured_texts(file: DataFile, measured: list[DataFile]) -> list[Finding]:
    """Find the texts to learn from that a file to measure with holds: they flatter its figures."""
    places = {
        key(text): f"line {line} of {other.name}"
        for other in measured
        for text, line in zip(other.rows.texts, other.rows.lines, strict=True)
    }
    rows = file.rows
    found = [i for i, text in enumerate(rows.texts) if key(text) in places]
    if not found:
        return []
    first = f"{_short(rows.texts[found[0]])} is {places[key(rows.texts[found[0]])]}"
    what = "texts that validation or test has, so that their figures flatter; delete these rows"
    return [Finding(file.name, what, len(found), tuple(rows.lines[i] for i in found), first)]


def without_unseen_intents(file: DataFile, train: DataFile) -> tuple[DataFile, list[Finding]]:
    """Leave out the rows whose intent the training file lacks, and report them."""
    known = set(train.examples.intents)
    examples = file.examples
    unseen = [place for place, intent in enumerate(examples.intents) if intent not in known]
    if not unseen:
        return file, []
    intents = list(dict.fromkeys(examples.intents[place] for place in unseen))
    finding = Finding(
        file.name,
        f"rows of {len(intents)} {'intent' if len(intents) == 1 else 'intents'} that {train.name} "
        "lacks, which count as errors in the test's accuracy and decide nothing else",
        len(unseen),
        tuple(examples.lines[place] for place in unseen),
        shown(intents[0]),
    )
    seen = [place for place, intent in enumerate(examples.intents) if intent in known]
    return replace(file, examples=examples.select(seen)), [finding]


def few_measured(name: str, split: str, examples: int) -> list[Finding]:
    """Find a split that is too small to measure an accuracy to ten points.

    The bound is that of Clopper and Pearson 1934, at 95 %, for an accuracy of one half.
    """
    right = examples // 2
    low = 0.0 if right == 0 else float(betaincinv(right, examples - right + 1, 0.025))
    high = float(betaincinv(right + 1, max(examples - right, 1), 0.975))
    if high - low <= 2 * _UNCERTAIN:
        return []
    points = f"{100 * (high - low) / 2:.0f}"
    what = (
        f"so few {split} examples that the true accuracy may lie {points} points above or below "
        "the measured one; add examples, or don't rely on it"
    )
    return [Finding(name, what, examples, (), split)]


def _short(text: str) -> str:
    return shown(text, 60)
