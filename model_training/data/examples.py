"""Texts with their intents, and what is known about them.

Rows labelled ``oos`` are out-of-scope examples, not an intent, and are kept apart: those of the
training file teach the projection network not to be sure of any intent, those of the validation
and test files measure how many it rejects. The threshold is chosen without them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralbits.errors import NeuralbitsError

OUT_OF_SCOPE = "oos"


class DataError(NeuralbitsError):
    """Data that can't be loaded or used; the message says why, and how to fix it."""


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
    unlabelled: Examples = Examples()
    """Rows to learn from without their intents."""

    @property
    def rows(self) -> Examples:
        """All usable rows."""
        return self.examples + self.out_of_scope + self.unlabelled


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that a training job needs to know of its data."""

    name: str
    labels: tuple[str, ...]
    """The intents, sorted; the examples of validation and test have no other."""
    train: Examples
    validation: Examples
    test: Examples | None
    out_of_scope_train: Examples
    out_of_scope_validation: Examples
    out_of_scope_test: Examples
    unlabelled: tuple[str, ...]
    """Texts without an intent to learn from."""
    provenance: dict[str, Any]
    """For the artifact: the data set's name, licence (None if it isn't known) and SHA-256."""
    report: DataReport
    unseen: Mapping[str, int] = field(default_factory=lambda: {"validation": 0, "test": 0})
    """How many rows of a split have an intent that training lacks, and are left out of it."""
    transfer: tuple[str, ...] = ()
    """Texts of other domains to learn an encoder's predictions of."""
    weights: npt.NDArray[np.float32] | None = None
    """How much each training example counts, shape (N,), with the mean 1; None if all do alike."""

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

    def shortened(self, characters: int) -> "TrainingData":
        """Return the data with longer texts cut to so many characters, and a finding of each split.

        Training and its measurements take time in proportion to what they read.
        """
        findings: list[Finding] = []

        def cut(split: str, examples: Examples) -> Examples:
            long = [place for place, text in enumerate(examples.texts) if len(text) > characters]
            if not long:
                return examples
            first = f"one of {len(examples.texts[long[0]]):,}"
            what = f"{split} texts cut to their first {characters:,} characters"
            lines = tuple(examples.lines[place] for place in long)
            findings.append(Finding(self.name, what, len(long), lines, first))
            texts = tuple(text[:characters] for text in examples.texts)
            return replace(examples, texts=texts)

        shortened = replace(
            self,
            train=cut("train", self.train),
            validation=cut("validation", self.validation),
            test=cut("test", self.test) if self.test else None,
            out_of_scope_train=cut("out-of-scope train", self.out_of_scope_train),
            out_of_scope_validation=cut("out-of-scope validation", self.out_of_scope_validation),
            out_of_scope_test=cut("out-of-scope test", self.out_of_scope_test),
            unlabelled=tuple(text[:characters] for text in self.unlabelled),
            transfer=tuple(text[:characters] for text in self.transfer),
        )
        report = replace(self.report, findings=(*self.report.findings, *findings))
        return replace(shortened, report=report)

    @property
    def last_measured(self) -> Examples:
        """The examples to time a classifier on: the test, or else validation."""
        return list(self.measured_splits.values())[-1][0]
