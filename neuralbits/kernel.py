"""The kernel in C (kernel/neuralbits.c), where the installation could compile it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from neuralbits.errors import needing
from neuralbits.explanation import Explanation, NgramInfluence, TooVaried
from neuralbits.prediction import IntentConfidence, Prediction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from neuralbits.classifier import Engine
    from neuralbits.reference import Reference

try:
    from neuralbits import _kernel
except ImportError:
    COMPILED = False
else:
    COMPILED = True


def project(
    settings: bytes, features: "npt.NDArray[np.uint32]", counts: "npt.NDArray[np.int64]"
) -> "npt.NDArray[np.uint64]":
    """Project texts by their features, as training does.

    Args:
        settings: the projection's, as the file's JSON has them.
        features: shape (n,), those of one text after another.
        counts: shape (N,), how many each text has; they add up to n.

    Returns:
        Shape (N, w): ⌈I/64⌉ words of first bits, then as many of second ones, if there are two.
    """
    import numpy as np

    words = np.frombuffer(_kernel.project(settings, features, counts), np.uint64)
    return words.reshape(len(counts), -1)


_FAMILIES = ("words", "word_bigrams", "skip_bigrams", "characters")  # as ngrams.py has them


class Refused(Exception):
    """The kernel can't use a file; the reference can, or knows why not."""


class Kernel:
    """An engine of the classifier (classifier.py).

    Args:
        content: the artifact's bytes, read where they lie.
        labels: its intents.

    Raises:
        Refused: they can't be used.
    """

    backend: Literal["kernel", "reference"] = "kernel"

    def __init__(self, content: bytes, labels: tuple[str, ...]) -> None:
        try:
            self._model = _kernel.Model(content, labels, Prediction, IntentConfidence)
        except ValueError as error:
            raise Refused(str(error)) from None
        self._content = content
        self._labels = labels

    def __reduce__(self) -> "tuple[Callable[..., Engine], tuple[bytes, tuple[str, ...]]]":
        """Pickle and copy as the artifact's bytes, which the receiver opens again."""
        return _restored, (self._content, self._labels)

    def scratch_size(self, longest_text: int) -> int:
        """Return how many bytes of scratch the kernel in C needs for texts of so many bytes."""
        return self._model.scratch_size(longest_text)

    @cached_property
    def _reference(self) -> "Reference":
        """For texts of megabytes, whose votes the kernel can't count."""
        with needing("reference"):
            from neuralbits import artifact, reference

        return reference.Reference(artifact.decode(self._content))

    def classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        """Classify texts, each as if it were alone; a prediction for each."""
        try:
            return self._model.classify(texts, top_k)
        except OverflowError:
            return self._reference.classify(texts, top_k)

    def scores(self, texts: Sequence[str]) -> "npt.NDArray[np.float64]":
        """Score every intent for each text: shape (N, C)."""
        with needing("reference"):
            import numpy as np

        try:
            scores = np.frombuffer(self._model.scores(texts), np.int32)
        except OverflowError:
            return self._reference.scores(texts)
        return scores.reshape(len(texts), -1).astype(np.float64)

    def explain(self, text: str) -> Explanation:
        """Tell what each n-gram of a text did for its answer.

        Raises:
            TooVaried: it has too many.
        """
        try:
            found = self._model.explain(text)
        except OverflowError:
            return self._reference.explain(text)
        if found is None:
            raise TooVaried
        bits, second_bits, functions, dimensions, ngrams = found
        ngrams.sort(key=lambda each: -abs(each[2]))
        return Explanation(
            bits,
            second_bits,
            functions,
            dimensions,
            tuple(NgramInfluence(ngram, _FAMILIES[family], gain) for ngram, family, gain in ngrams),
        )


def _restored(content: bytes, labels: tuple[str, ...]) -> "Engine":
    """Return the engine of a pickle, which may come from a machine with a compiled kernel."""
    if COMPILED:
        return Kernel(content, labels)
    from neuralbits import artifact, reference

    return reference.Reference(artifact.decode(content))
