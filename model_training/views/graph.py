"""A graph over the texts that a run learns from: neighbours are to have near predictions.

From Neural Graph Machines (Bui et al. 2018, arXiv:1703.04818): beside the labels' loss a network
takes the distance of its predictions of two texts that an edge joins. A graph is read from a file,
or joins each labelled and unlabelled text to the nearest ones in a sentence encoder's space.
"""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralbits.errors import NeuralbitsError, shown
from neuralbits.text import key

from ..data import TrainingData

NEAREST = "nearest"
"""In place of a file: the neighbours by the encoder."""

NEIGHBOURS = 5
"""Of each text, the nearest ones that it is joined to."""

_COMPARED_AT_ONCE = 512  # texts


class GraphError(NeuralbitsError):
    """A graph that can't be read, or that joins texts which aren't there."""


@dataclass(frozen=True)
class Graph:
    """E edges between N training texts, U unlabelled ones and R of other domains, in this order."""

    ends: npt.NDArray[np.intp]
    """Shape (E, 2): which texts an edge joins."""
    weights: npt.NDArray[np.float64]
    """Shape (E,): above 0, with the sum 1; how often an edge is drawn."""

    @property
    def sha256(self) -> str:
        """Of the edges."""
        return hashlib.sha256(self.ends.tobytes() + self.weights.tobytes()).hexdigest()

    def draw(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
        """Draw edges by their weights; return their ends, shape (2, count)."""
        drawn = generator.choice(len(self.ends), size=count, p=self.weights)
        return self.ends[drawn].T


def read(path: Path, data: TrainingData) -> Graph:
    """Read a CSV without a head: two texts and a weight a line.

    In place of a text its line in the training file may stand. Edges of texts that were held
    out for validation are left out.

    Raises:
        GraphError: the file can't be read, or an edge joins a text that isn't there.
    """
    texts = (*data.train.texts, *data.unlabelled, *data.transfer)
    places: dict[str, int | None] = dict.fromkeys(map(key, data.validation.texts))
    places |= {key(text): place for place, text in reversed(list(enumerate(texts)))}
    lines: dict[str, int | None] = dict.fromkeys(map(str, data.validation.lines))
    lines |= {str(line): place for place, line in enumerate(data.train.lines)}
    ends, weights = [], []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if len(row) != 3 or not (weight := _weight(row[2])):
                    raise GraphError(
                        f"{path}, line {number}: write two texts and a weight above 0, such as "
                        "'lights on,make it bright,0.8'"
                    )
                edge = []
                for end in row[:2]:
                    known = lines if end in lines else places
                    name = end if end in lines else key(end)
                    if name not in known:
                        raise GraphError(
                            f"{path}, line {number}: {shown(end)} is no text or line that is "
                            "learnt from; delete the row or add the text"
                        )
                    edge.append(known[name])
                if None not in edge:
                    ends.append(edge)
                    weights.append(weight)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GraphError(f"{path} can't be read ({error})") from None
    if not ends:
        raise GraphError(f"{path} joins no texts that are learnt from; add edges")
    shares = np.array(weights)
    return Graph(np.array(ends, dtype=np.intp), shares / shares.sum())


def _weight(text: str) -> float:
    """Read a weight; 0 if it is none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 < weight < np.inf else 0.0


def nearest(embeddings: npt.NDArray[np.float32], joined: int, count: int = NEIGHBOURS) -> Graph:
    """Join each of the first texts to the nearest of all, by the cosine of their embeddings.

    Args:
        embeddings: shape (N + U + R, E), each of length 1.
        joined: how many of the texts are joined, N + U.
        count: of each text's neighbours.
    """
    count = min(count, len(embeddings) - 1)
    ends, weights = [], []
    for start in range(0, joined, _COMPARED_AT_ONCE):
        texts = np.arange(start, min(start + _COMPARED_AT_ONCE, joined))
        similarities = embeddings[texts] @ embeddings.T
        similarities[np.arange(len(texts)), texts] = -1  # not to itself
        near = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
        ends.append(np.stack([np.repeat(texts, count), near.ravel()], axis=1))
        weights.append(np.take_along_axis(similarities, near, axis=1).ravel())
    shares = np.maximum(np.concatenate(weights).astype(np.float64), 1e-6)
    return Graph(np.concatenate(ends), shares / shares.sum())
