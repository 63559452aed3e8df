"""The classifier: what a user holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralbits.artifact import Artifact
from neuralbits.network import lead

_CHUNK = 128  # texts at a time, so that a long list costs no more memory than its predictions


@dataclass(frozen=True, slots=True)
class IntentConfidence:
    """An intent and its calibrated probability."""

    intent: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the classifier makes of a text."""

    intent: str
    """The likeliest intent."""
    confidence: float
    """Its calibrated probability."""
    in_scope: bool
    """Whether the lead of the intent's score over the others reaches the artifact's threshold;
    never for a text without tokens.

    The scores, not the confidence: a softmax is sure of one intent as soon as the others are less
    likely still (Hendrycks et al. 2022, arXiv:1911.11132; measured in docs/accuracy.md).
    """
    intents: tuple[IntentConfidence, ...]
    """The ``top_k`` likeliest intents, the likeliest first."""


class Classifier:
    """Classifies texts with one artifact. It is immutable, so threads may share it."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def classify(self, text: str, top_k: int = 1) -> Prediction:
        """Classify one text; ``top_k`` is how many intents to name, at least 1."""
        return self.classify_batch([text], top_k)[0]

    def classify_batch(self, texts: Sequence[str], top_k: int = 1) -> list[Prediction]:
        """Classify texts: for each the very prediction that `classify` gives for it alone.

        Raises:
            TypeError: ``texts`` is a single string, or one of the texts isn't a string.
            ValueError: ``top_k`` is below 1.
        """
        if isinstance(texts, str):
            raise TypeError("classify_batch takes a list of texts; classify takes one text")
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"text {index} is of type {type(text).__name__}, not a string")
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; ask for at least 1 intent")
        return [
            prediction
            for start in range(0, len(texts), _CHUNK)
            for prediction in self._classify(texts[start : start + _CHUNK], top_k)
        ]

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probability of each intent for each text: shape (N, C), N ≥ 1."""
        return self._probabilities(self.scores(texts))

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the score of each intent for each text: shape (N, C), N ≥ 1."""
        chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
        return np.concatenate([self._scores(self._observe(chunk)) for chunk in chunks])

    def _observe(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        return [self.artifact.projection.features(text) for text in texts]

    def _scores(self, observed: list[npt.NDArray[np.uint32]]) -> npt.NDArray[np.float64]:
        bits = np.stack([self.artifact.projection.project(features) for features in observed])
        return self.artifact.network.scores(bits)

    def _probabilities(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.artifact.network.probabilities(scores, self.artifact.temperature)

    def _classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        observed = self._observe(texts)
        scores = self._scores(observed)
        probabilities = self._probabilities(scores)
        familiar = lead(scores) >= self.artifact.threshold
        # The first of equals wins, so the order doesn't hang on a sorting algorithm.
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        predictions = []
        for features, row, ranked, reached in zip(
            observed, probabilities, ranking, familiar, strict=True
        ):
            intents = tuple(
                IntentConfidence(self.artifact.labels[label], float(row[label])) for label in ranked
            )
            best = intents[0]
            in_scope = len(features) > 0 and bool(reached)
            predictions.append(Prediction(best.intent, best.confidence, in_scope, intents))
        return predictions
