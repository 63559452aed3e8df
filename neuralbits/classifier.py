"""The classifier: the object that `neuralbits.load` returns."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal, Protocol

from neuralbits.explanation import Explanation
from neuralbits.manifest import Manifest
from neuralbits.prediction import Prediction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MIN_PART = 256  # texts; a thread costs more than it saves for fewer
_NO_INTENT = "top_k is {}; ask for at least 1 intent"
_NO_TEXT = "the text is of type {}, not a string"


class Engine(Protocol):
    """The backend of a classifier: the kernel (kernel.py) or the reference (reference.py)."""

    backend: Literal["kernel", "reference"]

    def classify(self, texts: Sequence[str], top_k: int, /) -> list[Prediction]:
        """Return one prediction per text, independent of the other texts."""

    def scores(self, texts: Sequence[str], /) -> "npt.NDArray[np.float64]":
        """Return the score of each intent for each text: shape (N, C), float64."""

    def explain(self, text: str, /) -> Explanation:
        """Return the influence of each n-gram of a text on its intent."""


class Classifier:
    """Classifies texts with one artifact; `neuralbits.load` makes one.

    A classifier is immutable, so threads can share it. It can be pickled, so processes can too.

    Attributes:
        manifest: the artifact's `neuralbits.Manifest`: intents, settings, provenance.

    Example:
        >>> import neuralbits
        >>> classifier = neuralbits.load("home-assistant-en")
        >>> "HassTurnOff" in classifier.labels
        True
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
        """The backend of this artifact: ``"kernel"`` (C) or ``"reference"`` (NumPy)."""
        return self._engine.backend

    def classify(self, text: str, top_k: int = 1) -> Prediction:
        """Classify one text.

        Args:
            text: raw text; it needs no preparation.
            top_k: the number of intents to list in ``Prediction.intents``, at least 1.

        Raises:
            TypeError: ``text`` isn't a string.
            ValueError: ``top_k`` is below 1.

        Example:
            >>> import neuralbits
            >>> classifier = neuralbits.load("home-assistant-en")
            >>> prediction = classifier.classify("turn off the lamp", top_k=3)
            >>> prediction.intent, prediction.in_scope, len(prediction.intents)
            ('HassTurnOff', True, 3)
        """
        if not isinstance(text, str):
            raise TypeError(_NO_TEXT.format(type(text).__name__))
        if top_k < 1:
            raise ValueError(_NO_INTENT.format(top_k))
        return self._engine.classify((text,), top_k)[0]

    def classify_batch(
        self, texts: Iterable[str], top_k: int = 1, threads: int = 1
    ) -> list[Prediction]:
        """Classify texts; each prediction equals that of `classify` for the same text.

        Args:
            texts: an iterable of N strings.
            top_k: the number of intents to list in each ``Prediction.intents``, at least 1.
            threads: the number of threads, at least 1; they speed up the kernel only.

        Returns:
            N predictions, in the order of the texts.

        Raises:
            TypeError: ``texts`` is a single string, or one of the texts isn't a string.
            ValueError: ``top_k`` or ``threads`` is below 1.

        Example:
            >>> import neuralbits
            >>> classifier = neuralbits.load("home-assistant-en")
            >>> predictions = classifier.classify_batch(["turn on the lamp", "turn off the lamp"])
            >>> [prediction.intent for prediction in predictions]
            ['HassTurnOn', 'HassTurnOff']
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
        """Explain the intent that `classify` returns by the influence of each n-gram.

        The text is scored again once per n-gram, so a text of 50 characters takes about a hundred
        times as long as `classify` does.

        Raises:
            TypeError: ``text`` isn't a string.
            ValueError: the text has more than `neuralbits.explanation.MAX_NGRAMS` different
                n-grams, which can happen above about a thousand characters.

        Example:
            >>> import neuralbits
            >>> classifier = neuralbits.load("home-assistant-en")
            >>> explanation = classifier.explain("turn off the lamp")
            >>> sorted(each.ngram for each in explanation.ngrams if each.family == "words")
            ['lamp', 'off', 'the', 'turn']
        """
        if not isinstance(text, str):
            raise TypeError(_NO_TEXT.format(type(text).__name__))
        return self._engine.explain(text)

    def scores(self, texts: Iterable[str]) -> "npt.NDArray[np.float64]":
        """Return the score of each intent for each text; needs NumPy.

        Args:
            texts: an iterable of N strings, N ≥ 1.

        Returns:
            Shape (N, C), float64, columns in the order of ``labels``. Scores are whole numbers
            unless the artifact has float weights.

        Raises:
            MissingExtraError: NumPy isn't installed.

        Example:
            >>> import neuralbits
            >>> classifier = neuralbits.load("home-assistant-en")
            >>> scores = classifier.scores(["turn off the lamp"])
            >>> classifier.labels[scores[0].argmax()]
            'HassTurnOff'
        """
        return self._engine.scores(list(texts))

    def probabilities(self, texts: Iterable[str]) -> "npt.NDArray[np.float64]":
        """Return the calibrated probability of each intent for each text; needs NumPy.

        Shapes and errors are those of `scores`. Each row has the sum 1.
        """
        from neuralbits.network import probabilities

        return probabilities(self.scores(texts) * (self.manifest.scale / self.manifest.temperature))
