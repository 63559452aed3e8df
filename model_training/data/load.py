"""Training data: files or a named data set, checked before anything is trained on them.

What can't be used stops the job here, with a sentence that says how to fix it. What can be used
but is worth knowing (duplicates, contradictory labels, leaks between splits …) is counted, with
its line numbers, in a `DataReport`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import checks, public, splits
from .columns import load_columns, row_weights
from .examples import (
    DataError,
    DataFile,
    DataReport,
    Examples,
    Finding,
    TrainingData,
)
from .files import load_file

GENERAL = "general"
"""The name of the corpus that general.py builds, in place of a file of texts of other domains."""


@dataclass(frozen=True)
class DataOptions:
    """Where the data of a training comes from, as the command line has it.

    The out-of-scope files are added to what the data set has, as in `from_files`.

    Raises:
        DataError: the options contradict each other.
    """

    train: Path | None = None
    """Instead of a data set: a file of labelled texts."""
    validation: Path | None = None
    """With ``train``; by default a part of it."""
    test: Path | None = None
    """With ``train``."""
    out_of_scope: tuple[Path, ...] = ()
    """More out-of-scope texts to learn from."""
    out_of_scope_test: tuple[Path, ...] = ()
    """More out-of-scope texts to measure with; nothing is learnt from them."""
    unlabelled: tuple[Path, ...] = ()
    """Texts to learn from without their intents."""
    transfer: tuple[Path, ...] = ()
    """Texts of other domains, to learn an encoder's predictions of; `GENERAL` is a corpus."""
    dataset: str | None = None
    """The name of a data set; home-assistant without ``train``."""
    language: str | None = None
    """Of home-assistant; en by default."""
    text_column: str = "text"
    label_column: str = "intent"

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.train is not None:
            if self.dataset or self.language:
                raise DataError("--train and a data set exclude each other; leave one out")
            return
        for option, value in (("--validation", self.validation), ("--test", self.test)):
            if value is not None:
                raise DataError(f"{option} goes with --train; a data set has its own splits")
        if self.language is not None and self.dataset not in (None, public.HOME_ASSISTANT):
            raise DataError(f"--language goes with home-assistant, not with {self.dataset}")

    @property
    def files(self) -> list[Path]:
        """Every file that is named."""
        single = [file for file in (self.train, self.validation, self.test) if file]
        added = (self.out_of_scope, self.out_of_scope_test, self.unlabelled, self.transfer)
        return [*single, *(file for files in added for file in files)]

    @property
    def words(self) -> list[str]:
        """The options for a command line; where files lie makes no difference to an artifact."""
        named: list[tuple[str, Path | str | None]] = [
            ("--train", self.train),
            ("--validation", self.validation),
            ("--test", self.test),
            *(("--out-of-scope", file) for file in self.out_of_scope),
            *(("--out-of-scope-test", file) for file in self.out_of_scope_test),
            *(("--unlabelled", file) for file in self.unlabelled),
            *(("--transfer", file) for file in self.transfer),
            ("--dataset", self.dataset),
            ("--language", self.language),
            ("--text-column", None if self.text_column == "text" else self.text_column),
            ("--label-column", None if self.label_column == "intent" else self.label_column),
        ]
        return [
            word
            for option, value in named
            if value
            for word in (option, value.name if isinstance(value, Path) else value)
        ]

    def load(self, seed: int = 0) -> TrainingData:
        """Load and check the data; the seed decides what is held out.

        Raises:
            DataError: the data can't be found or used.
        """
        if self.train is None:
            return from_name(
                self.dataset or public.HOME_ASSISTANT,
                self.language or "en",
                seed,
                out_of_scope=self.out_of_scope,
                out_of_scope_test=self.out_of_scope_test,
                unlabelled=self.unlabelled,
                transfer=self.transfer,
                text_column=self.text_column,
            )
        return from_files(
            self.train,
            self.validation,
            self.test,
            out_of_scope=self.out_of_scope,
            out_of_scope_test=self.out_of_scope_test,
            unlabelled=self.unlabelled,
            transfer=self.transfer,
            text_column=self.text_column,
            label_column=self.label_column,
            seed=seed,
        )


def from_name(
    name: str,
    language: str = "en",
    seed: int = 0,
    *,
    out_of_scope: Sequence[Path] = (),
    out_of_scope_test: Sequence[Path] = (),
    unlabelled: Sequence[Path] = (),
    transfer: Sequence[Path] = (),
    text_column: str = "text",
) -> TrainingData:
    """Load a named data set, one of `public.NAMES`; the language is that of home-assistant.

    The files of out-of-scope, unlabelled and transfer texts are as for `from_files`.

    Raises:
        DataError: there is no such data set or language, or it can't be found or used.
    """
    more = _MoreTexts.read(out_of_scope, out_of_scope_test, unlabelled, transfer, text_column)
    if name == public.HOME_ASSISTANT:
        return _home_assistant(language, seed, more)
    if name not in public.PUBLIC:
        raise DataError(
            f"there is no data set {name!r}: choose one of {', '.join(public.NAMES)}, or train "
            "on your files"
        )
    dataset = public.PUBLIC[name]
    folder = public.folder(dataset)
    files = {
        Path(file).stem: load_file(folder / file, name=f"{name}/{file}")
        for file in dataset.checksums
    }
    return _assemble(name, files, dataset.provenance, seed, more)


def from_files(
    train: Path,
    validation: Path | None = None,
    test: Path | None = None,
    *,
    out_of_scope: Sequence[Path] = (),
    out_of_scope_test: Sequence[Path] = (),
    unlabelled: Sequence[Path] = (),
    transfer: Sequence[Path] = (),
    text_column: str = "text",
    label_column: str = "intent",
    seed: int = 0,
) -> TrainingData:
    """Load files; without a validation file, validation is carved out of training.

    All rows of the files ``out_of_scope`` are out-of-scope examples, whatever their labels, and
    belong to training; those of ``out_of_scope_test`` belong to the test. Their kind is the name of
    their file. A part of training's is set aside if validation has none. The rows of the files
    ``unlabelled`` and ``transfer`` have no label, or one that isn't read. Rows of validation and
    test whose intent training lacks are left out, and counted in `TrainingData.unseen`.

    Raises:
        DataError: a file can't be used, or validation and test don't go with the training file.
    """
    paths = {"train": train, "validation": validation, "test": test}
    files = {
        split: load_file(path, text_column, label_column) for split, path in paths.items() if path
    }
    provenance = {
        "name": train.name,
        "licence": None,
        "sha256": {split: file.sha256 for split, file in files.items()},
    }
    more = _MoreTexts.read(out_of_scope, out_of_scope_test, unlabelled, transfer, text_column)
    return _assemble(train.name, files, provenance, seed, more)


def from_texts(
    texts: Iterable[Any],
    intents: Iterable[Any],
    *,
    validation: tuple[Iterable[Any], Iterable[Any]] | None = None,
    out_of_scope: Iterable[Any] | None = None,
    unlabelled: Iterable[Any] | None = None,
    transfer: Iterable[Any] | None = None,
    sample_weight: Iterable[float] | None = None,
    seed: int = 0,
) -> TrainingData:
    """Check texts that a program has in memory; all is as for `from_files`.

    Args:
        texts: N texts, in any iterable that `load_columns` takes.
        intents: N intents, one for each text.
        validation: texts and their intents; by default a part of the first ones.
        out_of_scope: texts of no intent.
        unlabelled: texts whose intents aren't known.
        transfer: texts of other domains, or ``"general"`` for the corpus of general.py.
        sample_weight: N numbers, how much each of the first texts counts in training; those held
            out count alike.
        seed: decides what is held out.

    Raises:
        DataError: the texts can't be used.
    """
    files = {"train": load_columns(texts, () if intents is None else intents)}
    if validation is not None:
        try:
            held_out, right = validation
        except (TypeError, ValueError):
            raise DataError("validation: give a pair, the texts and their intents") from None
        files["validation"] = load_columns(held_out, right, name="validation")
    more = _MoreTexts(
        (_of_kind("out_of_scope", load_columns(out_of_scope, name="out_of_scope")),)
        if out_of_scope is not None
        else (),
        (),
        (_unlabelled(load_columns(unlabelled, name="unlabelled")),)
        if unlabelled is not None
        else (),
        (_unlabelled(load_columns(transfer, name="transfer")),)
        if transfer is not None and not _is_general(transfer)
        else (),
        _is_general(transfer),
    )
    provenance = {
        "name": "texts",
        "licence": None,
        "sha256": {split: file.sha256 for split, file in files.items()},
    }
    data = _assemble("texts", files, provenance, seed, more)
    if sample_weight is None:
        return data
    return replace(data, weights=row_weights(sample_weight, files["train"], data.train))


@dataclass(frozen=True)
class _MoreTexts:
    """The files of texts without an intent that go with any data set."""

    out_of_scope: tuple[DataFile, ...] = ()
    out_of_scope_test: tuple[DataFile, ...] = ()
    unlabelled: tuple[DataFile, ...] = ()
    transfer: tuple[DataFile, ...] = ()
    general: bool = False
    """Whether the corpus general.py belongs to the texts of other domains."""

    @classmethod
    def read(
        cls,
        out_of_scope: Sequence[Path],
        out_of_scope_test: Sequence[Path],
        unlabelled: Sequence[Path],
        transfer: Sequence[Path],
        column: str,
    ) -> "_MoreTexts":
        """Read the files.

        Raises:
            DataError: a file can't be used, or two out-of-scope files have the same name.
        """
        return cls(
            _kinds(out_of_scope, column),
            _kinds(out_of_scope_test, column),
            _without_intents(unlabelled, column),
            _without_intents([path for path in transfer if str(path) != GENERAL], column),
            GENERAL in map(str, transfer),
        )

    @property
    def provenance(self) -> dict[str, dict[str, str]]:
        """The SHA-256 of each file, by its name."""
        return {
            name: {Path(file.name).name: file.sha256 for file in files}
            for name in ("out_of_scope", "out_of_scope_test", "unlabelled", "transfer")
            if (files := getattr(self, name))
        }

    def with_general(self, files: Iterable[DataFile], seed: int) -> "_MoreTexts":
        """Return these texts with those of general.py, if they belong to them.

        Raises:
            DataError: they need packages that aren't installed.
        """
        if not self.general:
            return self
        try:
            from . import general
        except ModuleNotFoundError as error:
            raise DataError(
                f"the corpus {GENERAL} needs {error.name}: pip install 'neuralbits[train]'"
            ) from None
        own = (self.out_of_scope, self.out_of_scope_test, self.unlabelled)
        corpus = general.load([*files, *(file for each in own for file in each)], seed)
        return replace(self, transfer=(*self.transfer, corpus))


def _kinds(paths: Sequence[Path], column: str) -> tuple[DataFile, ...]:
    """Read out-of-scope texts; the kind of each is its file's name.

    Raises:
        DataError: a file can't be used, or two have the same name.
    """
    files: dict[str, DataFile] = {}
    for path in paths:
        if path.stem in files:
            raise DataError(f"two out-of-scope files are named {path.stem}; rename one")
        files[path.stem] = _of_kind(path.stem, load_file(path, column, None))
    return tuple(files.values())


def _without_intents(paths: Sequence[Path], column: str) -> tuple[DataFile, ...]:
    """Read texts to learn from without their intents.

    Raises:
        DataError: a file can't be used.
    """
    return tuple(_unlabelled(load_file(path, column, None)) for path in paths)


def _unlabelled(file: DataFile) -> DataFile:
    """Take the texts of a file that was read without a label column for unlabelled ones."""
    return replace(file, out_of_scope=Examples(), unlabelled=file.out_of_scope)


def _is_general(transfer: Iterable[Any] | None) -> bool:
    return isinstance(transfer, str) and transfer == GENERAL


def _of_kind(kind: str, file: DataFile) -> DataFile:
    """Name the kind of a file's out-of-scope texts."""
    texts = file.out_of_scope
    return replace(file, out_of_scope=Examples(texts.texts, (kind,) * len(texts), texts.lines))


def _home_assistant(language: str, seed: int, more: "_MoreTexts") -> TrainingData:
    try:
        from . import home_assistant
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
        files[split] = DataFile(
            f"{name} {split}",
            sha256,
            _examples(getattr(splits, split)),
            out_of_scope=_examples(splits.out_of_scope[split]),
        )
    findings = []
    if splits.contradictory:
        text, claimants = next(iter(splits.contradictory.items()))
        first = f"{text!r}, which is {' and '.join(claimants)}"
        what = "sentences left out, as several intents claim them"
        findings.append(Finding(name, what, len(splits.contradictory), (), first))
    for what, left_out in (
        ("sentences left out of a split, as an earlier one has them", splits.repeated),
        ("intents left out, as they have no training sentence", splits.left_out),
    ):
        if left_out:
            findings.append(Finding(name, what, len(left_out), (), repr(left_out[0])))
    return _assemble(name, files, splits.provenance, seed, more, findings)


def _examples(pairs: Sequence[tuple[str, str]]) -> Examples:
    texts, intents = zip(*pairs, strict=True) if pairs else ((), ())
    return Examples(texts, intents, tuple(range(1, len(texts) + 1)))


def _assemble(
    name: str,
    files: dict[str, DataFile],
    provenance: dict[str, Any],
    seed: int,
    more: "_MoreTexts",
    findings: Iterable[Finding] = (),
) -> TrainingData:
    """Check the files (train, validation, test, oos_…) one by one and against each other."""
    more = more.with_general(files.values(), seed)
    train, validation, test = (files.get(split) for split in ("train", "validation", "test"))
    assert train is not None
    labels = tuple(sorted(set(train.examples.intents)))
    if len(labels) < 2:
        raise DataError(
            f"{train.name} has {len(labels)} intent{'s'[: len(labels) != 1]}, and a classifier "
            "needs at least 2: add examples of others, or name another --label-column"
        )
    found = [*findings]
    added = (*more.out_of_scope, *more.out_of_scope_test, *more.unlabelled, *more.transfer)
    for file in (*files.values(), *added):
        found += [*file.findings, *checks.repetitions(file)]
    found += checks.names(train)
    found += checks.single_examples(train)
    found += checks.rare_intents(train)
    found += checks.leaks(
        [
            *(files[stem] for stem in ("train", "oos_train") if stem in files),
            *more.out_of_scope,
            *more.unlabelled,
            *(
                files[stem]
                for split in ("validation", "test")
                for stem in (split, f"oos_{split}")
                if stem in files
            ),
            *more.out_of_scope_test,
        ]
    )
    measured_with = [file for stem, file in files.items() if not stem.endswith("train")]
    for file in (*more.unlabelled, *more.transfer):
        found += checks.measured_texts(file, [*measured_with, *more.out_of_scope_test])
    unseen = {"validation": 0, "test": 0}
    if validation:
        validation, lacking = checks.without_unseen_intents(validation, train)
        unseen["validation"], found = sum(each.count for each in lacking), found + lacking
    if test:
        test, lacking = checks.without_unseen_intents(test, train)
        unseen["test"], found = sum(each.count for each in lacking), found + lacking
    if test and not test.examples:
        raise DataError(
            f"{test.name} has no example of an intent that {train.name} has: "
            "add examples of the intents, or give the file with --out-of-scope"
        )
    if validation and validation.examples:
        trained, validated = train.examples, validation.examples
    else:
        trained, validated = splits.carve(train, seed)
    measured = {"validation": validated} | ({"test": test.examples} if test else {})
    for split, examples in measured.items():
        if missing := set(labels) - set(examples.intents):
            what = f"intents without an example for {split}, so not measured there"
            found.append(Finding(name, what, len(missing), (), min(missing)))
        found += checks.few_measured(name, split, len(examples))

    outside = {
        split: sum(
            (file.out_of_scope for stem, file in files.items() if stem.endswith(split)), Examples()
        )
        for split in ("train", "validation", "test")
    }
    for file in more.out_of_scope:
        outside["train"] += file.out_of_scope
    for file in more.out_of_scope_test:
        outside["test"] += file.out_of_scope
    unlabelled, transfer = (
        tuple(text for file in added for text in file.unlabelled.texts)
        for added in (more.unlabelled, more.transfer)
    )
    if not len(outside["validation"]):
        outside["train"], outside["validation"] = splits.carve_out_of_scope(outside["train"], seed)
    sizes = {
        "train": len(trained),
        "validation": len(validated),
        "test": len(test.examples) if test else 0,
        **{f"out-of-scope {split}": len(examples) for split, examples in outside.items()},
        "unlabelled": len(unlabelled),
        "transfer": len(transfer),
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
        transfer=transfer,
        provenance=provenance | more.provenance,
        report=DataReport(name, len(labels), sizes, tuple(found)),
        unseen=unseen,
    )
