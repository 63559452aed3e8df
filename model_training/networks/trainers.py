"""The trainer networks θ: full networks that the projection network learns beside.

Each reads a text as the sequence of its tokens, and a token as the mean of the embeddings of its
hashed n-grams (the token itself and its characters, as neuralbits/ngrams.py observes them), so
that the trainer has no vocabulary either. One of three encoders turns the sequence into a vector:

- ``lstm``: a bidirectional LSTM (Hochreiter & Schmidhuber 1997), pooled by maximum and mean;
- ``feedforward``: a layer over the pooled embeddings, as in Iyyer et al. 2015;
- ``cnn``: depthwise-separable convolutions over time (Kaiser et al. 2017, arXiv:1706.03059).

Several of them, joined by ``+``, make an ensemble. ``none`` trains the projection network alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuralbits import ngrams
from neuralbits.text import tokens

from .settings import TrainerSettings

_READ_AT_ONCE = 256  # texts, when nothing is learned from them


@dataclass(frozen=True)
class TokenBatch:
    """B texts as tokens, U of them distinct, for a trainer to read."""

    positions: Tensor
    """Shape (B, L), int64: which distinct token stands where; U where the text has ended."""
    buckets: Tensor
    """Shape (n,), int64: the buckets of the distinct tokens' n-grams, one after another."""
    offsets: Tensor
    """Shape (U + 1,), int64: where each distinct token's begin; the last token has none."""
    lengths: Tensor
    """Shape (B,), int64, on the CPU: the tokens of each text, at least 1."""

    def to(self, device: torch.device) -> "TokenBatch":
        """Move the batch to a device."""
        return TokenBatch(
            self.positions.to(device),
            self.buckets.to(device),
            self.offsets.to(device),
            self.lengths,
        )


class TokenCorpus:
    """The tokens of N texts, ready to be read in batches."""

    def __init__(self, texts: Sequence[str], buckets: int) -> None:
        self._distinct: dict[str, int] = {}
        self._texts = [
            np.array([self._distinct.setdefault(t, len(self._distinct)) for t in tokens(text)])
            for text in texts
        ]
        self._buckets = [
            ngrams.features([token], ("words", "characters")).astype(np.int64) % buckets
            for token in self._distinct
        ]
        self.lengths = np.array([len(text) for text in self._texts])

    def batch(self, texts: npt.NDArray[np.intp]) -> TokenBatch:
        """Gather the texts of these indices."""
        lengths = self.lengths[texts]
        flat = np.concatenate([self._texts[i] for i in texts]).astype(np.int64)
        distinct, flat_positions = np.unique(flat, return_inverse=True)
        longest = max(int(lengths.max(initial=1)), 1)
        positions = np.full((len(texts), longest), len(distinct), dtype=np.int64)
        positions[np.arange(longest) < lengths[:, None]] = flat_positions
        gathered = [self._buckets[i] for i in distinct]
        counts = [len(buckets) for buckets in gathered]
        return TokenBatch(
            positions=torch.from_numpy(positions),
            buckets=torch.from_numpy(np.concatenate([*gathered, np.empty(0, np.int64)])),
            offsets=torch.from_numpy(np.cumsum([0, *counts])),
            lengths=torch.from_numpy(np.maximum(lengths, 1)),
        )


def pool(states: Tensor, present: Tensor) -> Tensor:
    """Pool states, shape (B, L, H), by maximum and mean over time: shape (B, 2·H).

    ``present``, shape (B, L), tells where a text has tokens.
    """
    absent = ~present[:, :, None]
    largest = states.masked_fill(absent, -1e4).max(dim=1).values
    total = states.masked_fill(absent, 0.0).sum(dim=1)
    return torch.cat([largest, total / present.sum(dim=1, keepdim=True).clamp(min=1)], dim=1)


class LSTMEncoder(nn.Module):
    """A bidirectional LSTM: one reads each text from its first token on, one from its last."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.forth = nn.LSTM(inputs, hidden, batch_first=True)
        self.back = nn.LSTM(inputs, hidden, batch_first=True)
        self.width = 4 * hidden

    def forward(self, embedded: Tensor, present: Tensor, lengths: Tensor) -> Tensor:
        """Encode shape (B, L, E) as (B, width)."""
        # Turned round within its length, a text ends in its padding either way; on a CPU that
        # takes half the time of PyTorch's packed sequences, which do the same.
        places = torch.arange(embedded.shape[1], device=embedded.device)
        turned = torch.where(present, present.sum(dim=1, keepdim=True) - 1 - places, places)
        rows = torch.arange(len(embedded), device=embedded.device)[:, None]
        forth, back = self.forth(embedded)[0], self.back(embedded[rows, turned])[0]
        return pool(torch.cat([forth, back[rows, turned]], dim=2), present)


class FeedForwardEncoder(nn.Module):
    """One hidden layer over the pooled embeddings."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Linear(2 * inputs, 4 * hidden)
        self.width = 4 * hidden

    def forward(self, embedded: Tensor, present: Tensor, lengths: Tensor) -> Tensor:
        """Encode shape (B, L, E) as (B, width)."""
        return functional.relu(self.layer(pool(embedded, present)))


class ConvolutionalEncoder(nn.Module):
    """Two depthwise-separable convolutions, each with a residual connection."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        channels = 2 * hidden
        self.enter = nn.Linear(inputs, channels)
        self.depthwise = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=1, groups=channels) for _ in range(2)
        )
        self.pointwise = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.width = 2 * channels

    def forward(self, embedded: Tensor, present: Tensor, lengths: Tensor) -> Tensor:
        """Encode shape (B, L, E) as (B, width)."""
        states = self.enter(embedded)
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            seen = depthwise(states.masked_fill(~present[:, :, None], 0.0).mT).mT
            states = states + functional.relu(pointwise(seen))
        return pool(states, present)


ENCODERS: dict[str, type[LSTMEncoder | FeedForwardEncoder | ConvolutionalEncoder]] = {
    "lstm": LSTMEncoder,
    "feedforward": FeedForwardEncoder,
    "cnn": ConvolutionalEncoder,
}


class Trainer(nn.Module):
    """Tokens in, logits out: embeddings pooled from n-grams, an encoder, and a linear layer."""

    def __init__(self, name: str, intents: int, settings: TrainerSettings) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(settings.buckets, settings.embedding, mode="mean")
        self.encoder = ENCODERS[name](settings.embedding, settings.hidden)
        self.token_dropout = nn.Dropout1d(settings.token_dropout)
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.encoder.width, intents)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return logits of shape (B, C)."""
        embedded = self.embedding(batch.buckets, batch.offsets)[batch.positions]
        present = batch.positions < len(batch.offsets) - 1
        embedded = self.embedding_dropout(self.token_dropout(embedded))
        pooled = self.encoder(embedded, present, batch.lengths)
        logits: Tensor = self.output(self.dropout(pooled))
        return logits


class Ensemble(nn.Module):
    """One trainer or several, which share nothing but their texts."""

    def __init__(self, intents: int, settings: TrainerSettings) -> None:
        super().__init__()
        self.buckets = settings.buckets
        self.members = nn.ModuleList(Trainer(name, intents, settings) for name in settings.learnt)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Return each member's logits: shape (members, B, C)."""
        return torch.stack([member(batch) for member in self.members])

    def outputs(
        self, texts: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return logits and probabilities for each text, means over the members.

        Both of shape (N, C), N ≥ 1. Dropout is off; the networks are in evaluation mode afterwards.
        """
        logits = self._logits(texts)
        mean: npt.NDArray[np.float64] = logits.mean(dim=0).cpu().numpy()
        return mean, logits.softmax(dim=2).mean(dim=0).cpu().numpy()

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the second of the `outputs`."""
        return self.outputs(texts)[1]

    @torch.no_grad()
    def _logits(self, texts: Sequence[str]) -> Tensor:
        """Return each member's logits in double precision, shape (members, N, C)."""
        self.eval()
        corpus = TokenCorpus(texts, self.buckets)
        device = next(self.parameters()).device
        parts = np.array_split(np.arange(len(texts)), -(-len(texts) // _READ_AT_ONCE))
        return torch.cat([self(corpus.batch(part).to(device)) for part in parts], dim=1).double()
