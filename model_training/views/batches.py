"""The batches of an epoch, and what the projection network is shown of each.

Every batch is shown in several views: some of its texts misspelt, other tokens and n-grams dropped.
If there are unlabelled texts, as many of them are added, and of out-of-scope texts a few. Texts of
other domains are added by a share of the settings.
"""

import math
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..data import TrainingData
from ..settings import Settings
from .corpus import Dropping, NgramCorpus
from .graph import Graph
from .typos import typo

_PROJECTED_AHEAD = 4096  # texts
# Out-of-scope texts to a text in scope, within a batch: as many as the data has, within bounds. A
# hundred that are shown again and again cost accuracy; thousands don't (docs/accuracy.md).
_MIN_OUTLIER_SHARE, _MAX_OUTLIER_SHARE = 1 / 32, 1 / 4

_Shown = tuple[
    npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.uint8], list[npt.NDArray[np.uint8]]
]
"""Of a batch, `unlabelled`, `transfer`, `whole` and `views`."""


class Batch(NamedTuple):
    """B of the training texts, U unlabelled ones, R of other domains, M out-of-scope ones.

    With a graph, the two ends of G of its edges as well.
    """

    texts: npt.NDArray[np.intp]
    """Shape (B,): which they are."""
    unlabelled: npt.NDArray[np.intp]
    """Shape (U,): which of the unlabelled texts; U is B, or 0 if there are none."""
    transfer: npt.NDArray[np.intp]
    """Shape (R,): which of the texts of other domains."""
    whole: npt.NDArray[np.uint8]
    """Shape (U, b, T·d): the neural bits of the unlabelled texts as they stand."""
    views: list[npt.NDArray[np.uint8]]
    """Each of shape (B + U + R + 2G + M, b, T·d): the neural bits of all of them; of the edges, the
    first ends before the second ones, in the place that the shape names."""
    done: float
    """The share of the epoch that ends with this batch."""


class Batches:
    """The training texts, batch by batch, in another order every time.

    Args:
        settings: batch size, views, and how the texts are altered.
        data: whose training texts they are.
        generator: where all random numbers come from, but those of the typos.
        graph: over the texts, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        data: TrainingData,
        generator: np.random.Generator,
        graph: Graph | None = None,
    ) -> None:
        self._graph = graph
        self._settings = settings
        self._generator = generator
        self._texts = len(data.train)
        self._unlabelled, self._transfer = len(data.unlabelled), len(data.transfer)
        self._outliers = len(data.out_of_scope_train)
        # Each kind of out-of-scope text as often as another, however many there are of it.
        kinds = data.out_of_scope_train.intents
        sizes = Counter(kinds)
        self._outlier_chances = np.array([1 / (len(sizes) * sizes[kind]) for kind in kinds])
        random = Random(settings.seed)
        corpus: list[str] = []
        # Each text as it is, then each with a typo: text i + N is text i misspelt.
        for texts in (data.train.texts, data.unlabelled, data.transfer):
            corpus += [*texts, *(typo(text, random) for text in texts)]
        self.ngrams = NgramCorpus(settings.projection, [*corpus, *data.out_of_scope_train.texts])
        """Those of the training texts first, in their order."""
        # Batch normalisation needs two texts a batch.
        self._count = min(math.ceil(self._texts / settings.batch_size), self._texts // 2)
        self._rounds = min(math.ceil(settings.min_batches / self._count), settings.max_rounds)

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
            coming = executor.submit(self._shown, groups[0])
            for group, following in zip_longest(groups, groups[1:]):
                shown = coming.result()
                if following is not None:
                    coming = executor.submit(self._shown, following)
                for texts, (unlabelled, transfer, whole, views) in zip(group, shown, strict=True):
                    done += 1
                    yield Batch(texts, unlabelled, transfer, whole, views, done / len(batches))

    def _shown(self, group: list[npt.NDArray[np.intp]]) -> list[_Shown]:
        """Choose what goes with each of some batches, and project it."""
        settings, generator = self._settings, self._generator
        dropping = Dropping(settings.token_dropout, settings.ngram_dropout, generator)
        # An unlabelled text's target is a prediction of the whole text, so that dropping a word
        # can't teach a wrong label.
        consistency = Dropping(settings.unlabelled_token_dropout, settings.ngram_dropout, generator)
        share = self._outliers / self._texts
        share = min(max(share, _MIN_OUTLIER_SHARE), _MAX_OUTLIER_SHARE)
        among = math.ceil(share * settings.batch_size) if self._outliers else 0
        none = np.empty(0, dtype=np.intp)

        def drawn(count: int, share: float) -> list[npt.NDArray[np.intp]]:
            """Draw of so many texts a share of each batch."""
            return [
                generator.integers(count, size=math.ceil(share * len(texts))) if count else none
                for texts in group
            ]

        unlabelled = drawn(self._unlabelled, 1)
        transfer = drawn(self._transfer, settings.transfer_share)
        views = []
        for _ in range(settings.views):
            labelled = [self._misspell(texts, self._texts) for texts in group]
            misspelt = [self._misspell(o, self._unlabelled) + 2 * self._texts for o in unlabelled]
            joined = [self._ends(len(texts)) for texts in group]
            first = 2 * (self._texts + self._unlabelled)
            foreign = [self._misspell(o, self._transfer) + first for o in transfer]
            outliers = [none] * len(group)
            if among:
                first += 2 * self._transfer
                chances = self._outlier_chances
                outliers = [
                    first + generator.choice(self._outliers, size=among, p=chances) for _ in group
                ]
            parts = [
                self._project(labelled, dropping),
                self._project(misspelt, consistency),
                self._project(foreign, dropping),
                self._project(joined, dropping),
                self._project(outliers, dropping),
            ]
            views.append([np.concatenate(batch) for batch in zip(*parts, strict=True)])
        whole = self._project([texts + 2 * self._texts for texts in unlabelled])
        in_batches = map(list, zip(*views, strict=True))
        return list(zip(unlabelled, transfer, whole, in_batches, strict=True))

    def _ends(self, count: int) -> npt.NDArray[np.intp]:
        """Draw so many edges; return the texts that they join, those at their first ends first."""
        if self._graph is None:
            return np.empty(0, dtype=np.intp)
        texts = self._graph.draw(count, self._generator).ravel()
        # Text i of a kind stands before all of its kind with a typo (see the corpus above).
        bounds = np.cumsum([0, self._texts, self._unlabelled])
        kind = np.searchsorted(bounds, texts, side="right") - 1
        places: npt.NDArray[np.intp] = texts + bounds[kind]
        return places

    def _project(
        self, batches: list[npt.NDArray[np.intp]], dropping: Dropping | None = None
    ) -> list[npt.NDArray[np.uint8]]:
        """Project the texts of some batches together; return the bits of each batch."""
        ends = np.cumsum([len(texts) for texts in batches])[:-1]
        return np.split(self.ngrams.project(np.concatenate(batches), dropping), ends)

    def _misspell(self, texts: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
        """Take for a share of the texts, of so many there are, themselves misspelt."""
        return texts + count * (self._generator.random(len(texts)) < self._settings.typo_rate)
