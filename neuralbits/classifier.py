"""The classifier: what a user holds."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal, Protocol

from neuralbits.explanation import Explanation
from neuralbits.manifest import Manifest
from neuralbits.prediction import Prediction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MIN_PART = 256  # texts that are worth a thread
_NO_INTENT = "top_k is {}; ask for at least 1 intent"
_NO_TEXT = "the text is of type {}, not a string"


class Engine(Protocol):
    """What turns texts into answers: the kernel (kernel.py), or the reference (reference.py)."""

    backend: Literal["kernel", "reference"]

    def classify(self, texts: Sequence[str], top_k: int, /) -> list[Prediction]:
        """Classify texts, each as if it were alone; a prediction for each."""

    def scores(self, texts: Sequence[str], /) -> "npt.NDArray[np.float64]":
        """Score every intent for each text: shape (N, C)."""

    def explain(self, text: str, /) -> Explanation:
        """Tell what each n-gram of a text did for its answer."""


class Classifier:
    """Classifies texts with one artifact.

    It is immutable, so threads may share it, and can be pickled, so processes may, too.

    Attributes:
        manifest: what the artifact says of itself.
    """

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest = manifest
        self._engine = engine

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {len(self.labels)} intents, {self.manifest.size:,} bytes, "
            f"{self.backend}, {self.manifest.digest[:19]}>"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The intents, in the order of `scores`."""
        return self.manifest.labels

    @property
    def backend(self) -> Literal["kernel", "reference"]:
        """What answers: the compiled kernel, or the NumPy reference."""
        return self._engine.backend

    def classify(self, text: str, top_k: int = 1) -> Prediction:
        """Classify one text; ``top_k`` is how many intents to name, at least 1.

        Raises:
            TypeError: ``text`` isn't a string.
            ValueError: ``top_k`` is below 1.
        """
        if not isinstance(text, str):
            raise TypeError(_NO_TEXT.format(type(text).__name__))
        if top_k < 1:
            raise ValueError(_NO_INTENT.format(top_k))
        return self._engine.classify((text,), top_k)[0]

    def classify_batch(
        self, texts: Iterable[str], top_k: int = 1, threads: int = 1
    ) -> list[Prediction]:
        """Classify texts: for each the very prediction that `classify` gives for it alone.

        Args:
            texts: N of them, in any iterable.
            top_k: how many intents to name, at least 1.
            threads: how many to work with; the reference gains nothing by them.

        Raises:
            TypeError: ``texts`` is a single string, or one of the texts isn't a string.
            ValueError: ``top_k`` or ``threads`` is below 1.
        """
        if isinstance(texts, str):
            raise TypeError("classify_batch takes a list of texts; classify takes one text")
        given = list(texts)
        if set(map(type, given)) - {str}:
            for index, text in enumerate(given):
                if not isinstance(text, str):
                    raise TypeError(f"text {index} is of type {type(text).__name__}, not a string")
        if top_k < 1:
            raise ValueError(_NO_INTENT.format(top_k))
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be at least 1")
        threads = min(threads, len(given) // MIN_PART)
        if threads <= 1:
            return self._engine.classify(given, top_k)
        from concurrent.futures import ThreadPoolExecutor

        ends = [place * len(given) // threads for place in range(threads + 1)]
        with ThreadPoolExecutor(threads) as executor:
            parts = executor.map(
                lambda start, end: self._engine.classify(given[start:end], top_k), ends, ends[1:]
            )
            return list(chain.from_iterable(parts))

    def explain(self, text: str) -> Explanation:
        """Tell which n-grams of a text spoke for its intent, and which against it.

        That intent is the one that `classify` gives. The text is scored once more for each of its
        n-grams: one of 50 characters takes some hundred times as long as classifying it.

        Raises:
            TypeError: ``text`` isn't a string.
            ValueError: it has more than `neuralbits.explanation.MAX_NGRAMS` different n-grams, as
                texts of more than some thousand characters may.
        """
        if not isinstance(text, str):
            raise TypeError(_NO_TEXT.format(type(text).__name__))
        return self._engine.explain(text)

    def scores(self, texts: Iterable[str]) -> "npt.NDArray[np.float64]":
        """Return the score of each intent for each text: shape (N, C), N ≥ 1; needs NumPy."""
        return self._engine.scores(list(texts))

    def probabilities(self, texts: Iterable[str]) -> "npt.NDArray[np.float64]":
        """Return the probability of each intent likewise."""
        from neuralbits.network import probabilities

        return probabilities(self.scores(texts) * (self.manifest.scale / self.manifest.temperature))
