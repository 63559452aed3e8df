"""Training data: files of labelled texts, checked before anything is trained on them.

What can't be used stops the job here, with a sentence that says how to mend it. What can be used
but is worth knowing (duplicates, contradictory labels, leaks between splits …) is counted, with
its line numbers, in a `DataReport`. Two texts are the same if they have the same tokens: to the
classifier they are.

Rows labelled ``oos`` are out-of-scope examples, not an intent, and are held apart: those of the
training file teach the projection network not to be sure of any intent, those of the validation
and test files measure how many it rejects. The threshold is chosen without them.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralbits.model_training.data import public
from neuralbits.model_training.data.public import DataError
from neuralbits.tables import (
    BLANK,
    TableError,
    Unreadable,
    format_of,
    missing_column,
    open_table,
)
from neuralbits.text import key, tokens

OUT_OF_SCOPE = "oos"
VALIDATION_SHARE = 0.1  # of the texts, where no validation file is given
_LEAST_VALIDATION = 10  # texts, or as many as there are intents
UNUSABLE_SHARE = 0.1  # of the rows of a file; more, and it's likely not the file it's taken for


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts with their intents."""

    texts: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    """On which line of its file each text stands."""

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            self.texts + other.texts, self.intents + other.intents, self.lines + other.lines
        )

    def select(self, indices: Iterable[int]) -> "Examples":
        """Return the examples at these indices, in this order."""
        indices = list(indices)
        return Examples(
            tuple(self.texts[i] for i in indices),
            tuple(self.intents[i] for i in indices),
            tuple(self.lines[i] for i in indices),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing about a file."""

    file: str
    what: str
    count: int
    lines: tuple[int, ...]
    """Where it was found; none, if that's on no line."""
    first: str
    """The first that was found."""

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.lines[:5]))
        if len(self.lines) > 5:
            lines += f" and {len(self.lines) - 5} more"
        where = f" ({'line' if len(self.lines) == 1 else 'lines'} {lines})" if lines else ""
        return f"{self.file}: {self.what}: {self.count}{where}, first: {self.first}"


@dataclass(frozen=True, slots=True)
class DataReport:
    """What the training job says about its data; ``str`` shortens the lists of line numbers."""

    name: str
    intents: int
    examples: dict[str, int]
    """How many, by split; out-of-scope ones apart."""
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} {split}" for split, count in self.examples.items())
        head = f"{self.name}: {self.intents} intents; examples: {sizes}"
        return "\n".join([head, *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that was read: its usable rows, and what was found wrong with the others."""

    name: str
    sha256: str
    examples: Examples
    out_of_scope: Examples = Examples()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that a training job needs to know of its data."""

    name: str
    labels: tuple[str, ...]
    """The intents, sorted; validation and test hold no other."""
    train: Examples
    validation: Examples
    test: Examples | None
    out_of_scope_train: Examples
    out_of_scope_validation: Examples
    out_of_scope_test: Examples
    unlabelled: tuple[str, ...]
    """Texts whose intents nobody has told."""
    provenance: dict[str, Any]
    """For the artifact: the data set's name, licence (None if it isn't known) and SHA-256."""
    report: DataReport

    def label_indices(self, examples: Examples) -> npt.NDArray[np.intp]:
        """Return the examples' intents by their places in `labels`: shape (N,)."""
        index = {intent: place for place, intent in enumerate(self.labels)}
        return np.array([index[intent] for intent in examples.intents], dtype=np.intp)

    @property
    def measured_splits(self) -> dict[str, tuple[Examples, Examples]]:
        """The splits that a network is measured on, by name: examples, and out-of-scope ones."""
        splits = {"validation": (self.validation, self.out_of_scope_validation)}
        if self.test is not None:
            splits["test"] = (self.test, self.out_of_scope_test)
        return splits


def from_name(name: str, language: str = "en", seed: int = 0) -> TrainingData:
    """Load a named data set, one of `public.NAMES`; the language is that of home-assistant.

    Raises:
        DataError: there is no such data set or language, or it can't be had.
    """
    if name == public.HOME_ASSISTANT:
        return _home_assistant(language, seed)
    if name not in public.PUBLIC:
        raise DataError(
            f"there is no data set {name!r}: choose one of {', '.join(public.NAMES)}, or train "
            "on files of your own"
        )
    dataset = public.PUBLIC[name]
    folder = public.folder(dataset)
    files = {
        Path(file).stem: load_file(folder / file, name=f"{name}/{file}")
        for file in dataset.checksums
    }
    return _assemble(name, files, dataset.provenance, seed)


def from_files(
    train: Path,
    validation: Path | None = None,
    test: Path | None = None,
    out_of_scope: Path | None = None,
    unlabelled: Path | None = None,
    *,
    text_column: str = "text",
    label_column: str = "intent",
    seed: int = 0,
) -> TrainingData:
    """Load files of one's own; without a validation file, validation is carved out of training.

    All rows of the file ``out_of_scope`` are out-of-scope examples, whatever their labels, and
    belong to training. A part of training's is set aside if validation has none. The rows of the
    file ``unlabelled`` have no label, or one that isn't looked at.

    Raises:
        DataError: a file can't be used, or validation and test don't go with the training file.
    """
    paths = {"train": train, "validation": validation, "test": test}
    files = {
        split: load_file(path, text_column, label_column) for split, path in paths.items() if path
    }
    if out_of_scope:
        files["oos_train"] = load_file(out_of_scope, text_column, None)
    if unlabelled:
        files["unlabelled"] = load_file(unlabelled, text_column, None)
    provenance = {
        "name": train.name,
        "licence": None,
        "sha256": {split: file.sha256 for split, file in files.items()},
    }
    return _assemble(train.name, files, provenance, seed)


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


def _home_assistant(language: str, seed: int) -> TrainingData:
    try:
        from neuralbits.model_training.data import home_assistant
    except ModuleNotFoundError as error:
        raise DataError(
            f"the data set home-assistant needs {error.name}: pip install 'neuralbits[train]'"
        ) from None
    try:
        splits = home_assistant.load(language, seed)
    except home_assistant.UnknownLanguageError as error:
        raise DataError(str(error)) from None
    name, sha256 = splits.provenance["name"], splits.provenance["sha256"]
    files = {}
    for split in home_assistant.SPLITS:
        texts, intents = zip(*getattr(splits, split), strict=True)
        lines = tuple(range(1, len(texts) + 1))
        files[split] = DataFile(f"{name} {split}", sha256, Examples(texts, intents, lines))
    findings = []
    if splits.contradictory:
        text, claimants = next(iter(splits.contradictory.items()))
        first = f"{text!r}, which is {' and '.join(claimants)}"
        what = "sentences left out, as several intents claim them"
        findings.append(Finding(name, what, len(splits.contradictory), (), first))
    for what, left_out in (
        ("sentences left out of a split, as an earlier one has them", splits.repeated),
        ("intents left out, as they have no sentence of their own", splits.left_out),
    ):
        if left_out:
            findings.append(Finding(name, what, len(left_out), (), repr(left_out[0])))
    return _assemble(name, files, splits.provenance, seed, findings)


def _assemble(
    name: str,
    files: dict[str, DataFile],
    provenance: dict[str, Any],
    seed: int,
    findings: Iterable[Finding] = (),
) -> TrainingData:
    """Check the files (train, validation, test, oos_…) one by one and against each other."""
    train, validation, test = (files.get(split) for split in ("train", "validation", "test"))
    assert train is not None
    labels = tuple(sorted(set(train.examples.intents)))
    if len(labels) < 2:
        raise DataError(
            f"{train.name} has {len(labels)} intent{'s'[: len(labels) != 1]}, and a classifier "
            "needs at least 2: add examples of others, or name another --label-column"
        )
    found = [*findings]
    for file in files.values():
        found += [*file.findings, *_repetitions(file)]
    found += _single_examples(train)
    found += _leaks(
        [
            files[stem]
            for split in ("train", "unlabelled", "validation", "test")
            for stem in (split, f"oos_{split}")
            if stem in files
        ]
    )
    for held_out in (validation, test):
        if held_out:
            _refuse_unseen_intents(held_out, train)
    if test and not test.examples:
        raise DataError(
            f"{test.name} holds out-of-scope rows alone, and nothing to measure the accuracy on: "
            "add examples of the intents, or give the file with --out-of-scope"
        )
    if validation and validation.examples:
        trained, validated = train.examples, validation.examples
    else:
        trained, validated = _carve(train, seed)
    measured = {"validation": validated} | ({"test": test.examples} if test else {})
    for split, examples in measured.items():
        if missing := set(labels) - set(examples.intents):
            what = f"intents without an example for {split}, so not measured there"
            found.append(Finding(name, what, len(missing), (), min(missing)))

    outside = {
        split: sum(
            (file.out_of_scope for stem, file in files.items() if stem.endswith(split)), Examples()
        )
        for split in ("train", "validation", "test")
    }
    unlabelled = files["unlabelled"].out_of_scope.texts if "unlabelled" in files else ()
    if not len(outside["validation"]):
        outside["train"], outside["validation"] = _carve_out_of_scope(outside["train"], seed)
    sizes = {
        "train": len(trained),
        "validation": len(validated),
        "test": len(test.examples) if test else 0,
        **{f"out-of-scope {split}": len(examples) for split, examples in outside.items()},
        "unlabelled": len(unlabelled),
    }
    return TrainingData(
        name=name,
        labels=labels,
        train=trained,
        validation=validated,
        test=test.examples if test else None,
        out_of_scope_train=outside["train"],
        out_of_scope_validation=outside["validation"],
        out_of_scope_test=outside["test"],
        unlabelled=unlabelled,
        provenance=provenance,
        report=DataReport(name, len(labels), sizes, tuple(found)),
    )


def _repetitions(file: DataFile) -> list[Finding]:
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


def _single_examples(train: DataFile) -> list[Finding]:
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


def _leaks(files: list[DataFile]) -> list[Finding]:
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


def _refuse_unseen_intents(file: DataFile, train: DataFile) -> None:
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


def _carve(train: DataFile, seed: int) -> tuple[Examples, Examples]:
    """Carve a validation split out of the training file, a tenth of it.

    Equal texts stay together. An intent with a single distinct text stays in training whole, and
    each keeps one at least. The split is stratified if it has room for a text of each intent: with
    so few examples that it hasn't, no intent can spare one for certain.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise DataError(
            "splitting data needs scikit-learn: pip install 'neuralbits[train]'"
        ) from None
    examples = train.examples
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(examples.texts):
        groups[key(text)].append(i)
    intents = {text: examples.intents[indices[0]] for text, indices in groups.items()}
    sizes = Counter(intents.values())
    texts = [text for text in groups if sizes[intents[text]] > 1]
    if not texts:
        raise DataError(
            f"{train.name} has a single text for each intent, so that no validation examples can "
            "be set aside: add examples, or give a file with --validation"
        )
    stratify = [intents[text] for text in texts]
    least = min(len(set(stratify)), _LEAST_VALIDATION)
    size = max(least, round(VALIDATION_SHARE * len(texts)))
    if size >= len(set(stratify)):
        _, chosen = train_test_split(texts, test_size=size, stratify=stratify, random_state=seed)
    else:
        firsts = {intents[text]: text for text in reversed(texts)}
        chosen = Random(seed).sample([t for t in texts if t != firsts[intents[t]]], size)
    held_out = {i for text in chosen for i in groups[text]}
    everything = range(len(examples))
    return (
        examples.select(i for i in everything if i not in held_out),
        examples.select(i for i in everything if i in held_out),
    )


def _carve_out_of_scope(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """Set a part of the out-of-scope examples aside to measure with; equal texts stay together."""
    distinct = list(dict.fromkeys(key(text) for text in examples.texts))
    Random(seed).shuffle(distinct)
    held_out = set(distinct[: round(VALIDATION_SHARE * len(distinct))])
    places = range(len(examples))
    return (
        examples.select(i for i in places if key(examples.texts[i]) not in held_out),
        examples.select(i for i in places if key(examples.texts[i]) in held_out),
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
