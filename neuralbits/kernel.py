"""The compiled kernel (kernel/neuralbits.c) as a backend of the classifier."""

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
    """Project the features of N texts to neural bits; training uses it.

    Args:
        settings: the projection's settings as an artifact's JSON.
        features: shape (n,), uint32: the features of all texts, one text after another.
        counts: shape (N,), int64: the number of features of each text; the sum is n.

    Returns:
        Shape (N, w), uint64: ⌈I/64⌉ words of first bits, then, for two code bits, as many words of
        second bits.
    """
    import numpy as np

    words = np.frombuffer(_kernel.project(settings, features, counts), np.uint64)
    return words.reshape(len(counts), -1)


_FAMILIES = ("words", "word_bigrams", "skip_bigrams", "characters")  # the order of ngrams.FAMILIES


class Refused(Exception):
    """The kernel can't use a file; the reference can, or raises an error that says why not."""


class Kernel:
    """An engine of the classifier (classifier.py).

    Args:
        content: the artifact's bytes; the kernel reads them in place.
        labels: the artifact's intents.

    Raises:
        Refused: the kernel can't use the artifact.
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
        """Pickle and copy as the artifact's bytes; unpickling opens them again."""
        return _restored, (self._content, self._labels)

    def scratch_size(self, longest_text: int) -> int:
        """Return the size in bytes of the kernel's scratch buffer for texts up to a length."""
        return self._model.scratch_size(longest_text)

    @cached_property
    def _reference(self) -> "Reference":
        """The engine for texts of megabytes, whose votes overflow the kernel's counters."""
        with needing("reference"):
            from neuralbits import artifact, reference

        return reference.Reference(artifact.decode(self._content))

    def classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        """Return one prediction per text, independent of the other texts."""
        try:
            return self._model.classify(texts, top_k)
        except OverflowError:
            return self._reference.classify(texts, top_k)

    def scores(self, texts: Sequence[str]) -> "npt.NDArray[np.float64]":
        """Return the score of each intent for each text: shape (N, C), float64."""
        with needing("reference"):
            import numpy as np

        try:
            scores = np.frombuffer(self._model.scores(texts), np.int32)
        except OverflowError:
            return self._reference.scores(texts)
        return scores.reshape(len(texts), -1).astype(np.float64)

    def explain(self, text: str) -> Explanation:
        """Return the influence of each n-gram of a text on its intent.

        Raises:
            TooVaried: the text has more than `MAX_NGRAMS` different n-grams.
        """
        try:
            parts = self._model.explain(text)
        except OverflowError:
            return self._reference.explain(text)
        if parts is None:
            raise TooVaried
        bits, second_bits, functions, dimensions, ngrams = parts
        ngrams.sort(key=lambda each: -abs(each[2]))
        return Explanation(
            bits,
            second_bits,
            functions,
            dimensions,
            tuple(NgramInfluence(ngram, _FAMILIES[family], gain) for ngram, family, gain in ngrams),
        )


def _restored(content: bytes, labels: tuple[str, ...]) -> "Engine":
    """Return the engine of a pickle from a machine with the compiled kernel."""
    if COMPILED:
        return Kernel(content, labels)
    from neuralbits import artifact, reference

    return reference.Reference(artifact.decode(content))
