"""The reference: a readable implementation in NumPy, whose answers the kernel must match."""

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

_CHUNK = 128  # texts at a time, to bound the memory that a long list takes


def classifier(artifact: Artifact) -> Classifier:
    """Return a classifier with the reference as its backend."""
    return Classifier(artifact.manifest, Reference(artifact))


class Reference:
    """An engine of the classifier (classifier.py)."""

    backend: Literal["kernel", "reference"] = "reference"

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def classify(self, texts: Sequence[str], top_k: int) -> list[Prediction]:
        """Return one prediction per text, independent of the other texts."""
        return [
            prediction
            for start in range(0, len(texts), _CHUNK)
            for prediction in self._classify(texts[start : start + _CHUNK], top_k)
        ]

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the score of each intent for each text: shape (N, C), float64."""
        chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
        return np.concatenate([self._scores(self._extract(chunk)) for chunk in chunks])

    def explain(self, text: str) -> Explanation:
        """Return the influence of each n-gram of a text on its intent.

        Raises:
            TooVaried: the text has more than `MAX_NGRAMS` different n-grams.
        """
        artifact, projection = self._artifact, self._artifact.projection
        ngrams = counted(tokens(text), projection.families)
        if len(ngrams) > MAX_NGRAMS:
            raise TooVaried
        sums = projection.vote(projection.features(text))
        bits = projection.code(sums)
        (scores,) = artifact.network.scores(bits[None])
        intent = int(scores.argmax())

        def odds(scores: npt.NDArray[np.float64]) -> float:
            return log_odds(scores * (artifact.network.scale / artifact.temperature), intent)

        influences = []
        for (family, ngram), count in ngrams.items():
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
        accepted = margin(scores) >= artifact.threshold
        # Of equal scores the first comes first, so the order doesn't depend on the sort algorithm.
        ranking = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        predictions = []
        for text_features, row, ranked, is_accepted in zip(
            features, confidences, ranking, accepted, strict=True
        ):
            intents = tuple(
                IntentConfidence(artifact.labels[label], float(row[label])) for label in ranked
            )
            best = intents[0]
            in_scope = len(text_features) > 0 and bool(is_accepted)
            predictions.append(Prediction(best.intent, best.confidence, in_scope, intents))
        return predictions
