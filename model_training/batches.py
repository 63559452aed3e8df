"""The batches of an epoch, and what the projection network is shown of each.

Every batch is shown in several views: some of its texts misspelt, tokens and n-grams dropped anew,
and a few out-of-scope texts added, if there are any to learn from.
"""

import math
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model_training.data import TrainingData
from model_training.observed_ngrams import Dropping, ObservedNgrams
from model_training.settings import Settings
from model_training.slips import slip

_PROJECTED_AHEAD = 4096  # texts
_OUTLIER_SHARE = 1 / 32  # out-of-scope texts to a text in scope: more cost accuracy


class Batch(NamedTuple):
    """B of the training texts, and M out-of-scope ones in each view."""

    texts: npt.NDArray[np.intp]
    """Shape (B,): which they are."""
    views: list[npt.NDArray[np.uint8]]
    """Each of shape (B + M, b, T·d): their neural bits, the out-of-scope texts' last."""
    done: float
    """The share of the epoch that ends with this batch."""


class Batches:
    """The training texts, batch by batch, in another order every time.

    Args:
        settings: batch size, views, and how the texts are altered.
        data: whose training texts they are.
        generator: where all random numbers come from, but those of the slips.
    """

    def __init__(
        self, settings: Settings, data: TrainingData, generator: np.random.Generator
    ) -> None:
        self._settings = settings
        self._generator = generator
        self._texts = len(data.train)
        outliers = data.out_of_scope_train.texts
        self._outliers = len(outliers)
        # Each text as it is, then each with a slip: text i + N is text i misspelt. Then the
        # out-of-scope texts.
        random = Random(settings.seed)
        slipped = [slip(text, random) for text in data.train.texts]
        self.ngrams = ObservedNgrams(settings.projection, [*data.train.texts, *slipped, *outliers])
        """Those of the training texts first, in their order."""
        # Batch normalisation needs two texts a batch.
        self._count = min(math.ceil(self._texts / settings.batch_size), self._texts // 2)
        self._rounds = math.ceil(settings.least_batches / self._count)

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self._count * self._rounds

    def epoch(self) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch; close it to stop before the end.

        A thread projects what comes next while the networks learn from what came before.
        """
        orders = [self._generator.permutation(self._texts) for _ in range(self._rounds)]
        batches = [texts for order in orders for texts in np.array_split(order, self._count)]
        together = max(1, _PROJECTED_AHEAD // self._settings.batch_size)
        groups = [batches[start : start + together] for start in range(0, len(batches), together)]
        done = 0
        with ThreadPoolExecutor(max_workers=1) as executor:
            coming = executor.submit(self._views, groups[0])
            for group, following in zip_longest(groups, groups[1:]):
                views = coming.result()
                if following is not None:
                    coming = executor.submit(self._views, following)
                for texts, *shown in zip(group, *views, strict=True):
                    done += 1
                    yield Batch(texts, shown, done / len(batches))

    def _views(self, group: list[npt.NDArray[np.intp]]) -> list[list[npt.NDArray[np.uint8]]]:
        """Project some batches: for each view, the bits of each batch."""
        settings, generator = self._settings, self._generator
        dropping = Dropping(settings.token_dropout, settings.ngram_dropout, generator)
        among = math.ceil(_OUTLIER_SHARE * settings.batch_size) if self._outliers else 0
        ends = np.cumsum([len(texts) + among for texts in group])[:-1]
        views = []
        for _ in range(settings.views):
            chosen = []
            for texts in group:
                slipped = generator.random(len(texts)) < settings.slips
                chosen.append(texts + self._texts * slipped)
                if among:
                    outliers = generator.integers(self._outliers, size=among)
                    chosen.append(outliers + 2 * self._texts)
            bits = self.ngrams.project(np.concatenate(chosen), dropping)
            views.append(np.split(bits, ends))
        return views
