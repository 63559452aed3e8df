"""A frozen sentence encoder as the trainer: a head that is learnt once, and its predictions.

The head is a logistic regression on the embeddings of the training texts. It converges before the
first batch, so all predictions that the projection network learns from are computed once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ..data import TrainingData
from ..evaluation import calibration
from ..networks.losses import Objective
from ..networks.sentence_encoder import EmbeddingProgress, Embeddings, SentenceEncoder
from ..views.batches import Batch

STRENGTHS = (1.0, 10.0, 100.0)
"""Of the head, scikit-learn's C; that with the least log loss on the validation split is kept."""

_ITERATIONS = 300


class Predicted(NamedTuple):
    """An encoder's softened predictions of a batch."""

    labelled: Tensor
    """Shape (B, C)."""
    unlabelled: Tensor
    """Shape (U, C)."""
    transfer: Tensor
    """Shape (R, C)."""


class EncoderTeacher:
    """The encoder with its head.

    Args:
        encoder: the frozen encoder.
        data: the training texts, from which the head learns, and those that it predicts.
        objective: has the temperature of its predictions.
        device: where the predictions are needed.
        progress: of the embedding.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        data: TrainingData,
        objective: Objective,
        device: torch.device,
        progress: EmbeddingProgress = lambda done, count: None,
    ) -> None:
        self._encoder = encoder
        learnt_from = (data.train.texts, data.validation.texts, data.unlabelled, data.transfer)
        encoder.embed([text for texts in learnt_from for text in texts], progress)
        train, validation = (encoder.embed(each.texts) for each in (data.train, data.validation))
        self._weights, self._bias = _head(
            train, data.label_indices(data.train), validation, data.label_indices(data.validation)
        )

        def predictions(texts: Sequence[str]) -> Tensor:
            if not texts:
                return torch.empty(0, len(data.labels), device=device)
            logits = self._logits(encoder.embed(texts)) / objective.encoder_temperature
            return torch.from_numpy(softmax(logits, axis=1).astype(np.float32)).to(device)

        self.predicted = Predicted(
            *(predictions(each) for each in (data.train.texts, data.unlabelled, data.transfer))
        )
        """Of all texts that are learnt from."""

    def of(self, batch: Batch) -> Predicted:
        """Return the softened predictions of a batch."""
        texts = (batch.texts, batch.unlabelled, batch.transfer)
        return Predicted(
            *(
                table[torch.from_numpy(rows)]
                for table, rows in zip(self.predicted, texts, strict=True)
            )
        )

    @property
    def bytes(self) -> int:
        """The size of the encoder and the head."""
        return self._encoder.bytes + 4 * (self._weights.size + self._bias.size)

    def outputs(
        self, texts: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return logits and probabilities for each text, both of shape (N, C), N ≥ 1."""
        logits = self._logits(self._encoder.embed(texts))
        return logits, softmax(logits, axis=1)

    def classify(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probabilities, from embeddings that are computed for it: shape (N, C)."""
        probabilities: npt.NDArray[np.float64]
        probabilities = softmax(self._logits(self._encoder.compute(texts)), axis=1)
        return probabilities

    def _logits(self, embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return embeddings.astype(np.float64) @ self._weights.T + self._bias


def _head(
    train: Embeddings,
    labels: npt.NDArray[np.intp],
    validation: Embeddings,
    validation_labels: npt.NDArray[np.intp],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit the head: weights of shape (C, E) and a bias of shape (C,), of C ≥ 2 intents.

    Each strength's logits are divided by the temperature that calibrates them: unsharpened, they
    say so little that the projection network learns little from them (docs/accuracy.md).
    """
    heads = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(train, labels)
        weights, bias = model.coef_, model.intercept_
        if len(bias) == 1:  # of two intents, scikit-learn fits the difference
            weights, bias = np.vstack([0 * weights, weights]), np.append(0.0, bias)
        logits = validation @ weights.T + bias
        temperature = calibration.temperature(logits, validation_labels)
        likelihoods = log_softmax(logits / temperature, axis=1)
        loss = -float(likelihoods[np.arange(len(logits)), validation_labels].mean())
        heads.append((loss, weights / temperature, bias / temperature))
    _, weights, bias = min(heads, key=lambda head: head[0])
    return weights, bias
