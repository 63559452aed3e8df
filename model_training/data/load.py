"""Training data: files or a named data set, checked before anything is trained on them.

What can't be used stops the job here, with a sentence that says how to fix it. What can be used
but is worth knowing (duplicates, contradictory labels, leaks between splits …) is counted, with
its line numbers, in a `DataReport`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import checks, public, splits
from .examples import (
    DataError,
    DataFile,
    DataReport,
    Examples,
    Finding,
    TrainingData,
)
from .files import load_file


def from_name(name: str, language: str = "en", seed: int = 0) -> TrainingData:
    """Load a named data set, one of `public.NAMES`; the language is that of home-assistant.

    Raises:
        DataError: there is no such data set or language, or it can't be loaded.
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


def _home_assistant(language: str, seed: int) -> TrainingData:
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
        ("intents left out, as they have no training sentence", splits.left_out),
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
        found += [*file.findings, *checks.repetitions(file)]
    found += checks.names(train)
    found += checks.single_examples(train)
    found += checks.leaks(
        [
            files[stem]
            for split in ("train", "unlabelled", "validation", "test")
            for stem in (split, f"oos_{split}")
            if stem in files
        ]
    )
    for held_out in (validation, test):
        if held_out:
            checks.refuse_unseen_intents(held_out, train)
    if test and not test.examples:
        raise DataError(
            f"{test.name} holds out-of-scope rows alone, and nothing to measure the accuracy on: "
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

    outside = {
        split: sum(
            (file.out_of_scope for stem, file in files.items() if stem.endswith(split)), Examples()
        )
        for split in ("train", "validation", "test")
    }
    unlabelled = files["unlabelled"].out_of_scope.texts if "unlabelled" in files else ()
    if not len(outside["validation"]):
        outside["train"], outside["validation"] = splits.carve_out_of_scope(outside["train"], seed)
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
