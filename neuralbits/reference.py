"""The reference: an artifact's answers by NumPy, readable, and what the kernel is held to."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralbits.artifact import Artifact
from neuralbits.classifier import Classifier
from neuralbits.explanation import MAX_NGRAMS, Explanation, NgramInfluence, TooVaried
from neuralbits.network import log_odds, margin, probabilities
from neuralbits.ngrams import counted, feature
from neuralbits.prediction import IntentConfidence, Prediction
from neuralbits.text import tokens

_CHUNK = 128  # texts at a time, so that a long list costs no more memory than its predictions


def classifier(artifact: Artifact) -> Classifier:
    """Return a classifier that answers by the reference."""
    return Classifier(artifact.manifest, Reference(artifact))


class Reference:
    """An engine of the classifier (classifier.py)."""

    backend: Literal["kernel", "reference"] = "reference"

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        """Classify texts, each as if it were alone; a prediction for each."""
        return [
            prediction
            for start in range(0, len(texts), _CHUNK)
            for prediction in self._classify(texts[start : start + _CHUNK], top_k)
        ]

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Score every intent for each text: shape (N, C)."""
        chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
        return np.concatenate([self._scores(self._extract(chunk)) for chunk in chunks])

    def explain(self, text: str) -> Explanation:
        """Tell what each n-gram of a text did for its answer.

        Raises:
            TooVaried: it has too many.
        """
        artifact, projection = self._artifact, self._artifact.projection
        occurring = counted(tokens(text), projection.families)
        if len(occurring) > MAX_NGRAMS:
            raise TooVaried
        sums = projection.vote(projection.features(text))
        bits = projection.code(sums)
        (scores,) = artifact.network.scores(bits[None])
        intent = int(scores.argmax())

        def odds(scores: npt.NDArray[np.float64]) -> float:
            return log_odds(scores * (artifact.network.scale / artifact.temperature), intent)

        influences = []
        for (family, ngram), count in occurring.items():
            votes = projection.vote(np.array([feature(ngram, family)], dtype=np.uint32))
            (without,) = artifact.network.scores(projection.code(sums - count * votes)[None])
            influences.append(NgramInfluence(ngram, family, odds(scores) - odds(without)))
        first, *second = [np.packbits(each).tobytes().hex()[: -(-len(each) // 4)] for each in bits]
        return Explanation(
            bits=first,
            second_bits="".join(second),
            functions=len(projection.kept),
            dimensions=projection.inputs // len(projection.kept),
            ngrams=tuple(sorted(influences, key=lambda each: -abs(each.influence))),
        )

    def _extract(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        return [self._artifact.projection.features(text) for text in texts]

    def _scores(self, features: list[npt.NDArray[np.uint32]]) -> npt.NDArray[np.float64]:
        bits = np.stack([self._artifact.projection.project(each) for each in features])
        return self._artifact.network.scores(bits)

    def _classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        artifact, features = self._artifact, self._extract(texts)
        scores = self._scores(features)
        confidences = probabilities(scores * (artifact.network.scale / artifact.temperature))
        familiar = margin(scores) >= artifact.threshold
        # The first of equals wins, so the order doesn't hang on a sorting algorithm.
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        predictions = []
        for each, row, ranked, reached in zip(
            features, confidences, ranking, familiar, strict=True
        ):
            intents = tuple(
                IntentConfidence(artifact.labels[label], float(row[label])) for label in ranked
            )
            best = intents[0]
            in_scope = len(each) > 0 and bool(reached)
            predictions.append(Prediction(best.intent, best.confidence, in_scope, intents))
        return predictions
