"""Projecting texts by NumPy and SciPy, where the kernel isn't compiled.

The same bits as neuralbits/projection.py, which specifies them, some fifty times faster: the signs
of each distinct n-gram are drawn once, and the votes of many texts' n-grams are counted by one
product of a sparse matrix, which n-gram takes part where, with the matrix of the signs.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neuralbits.projection import Projection

_CHUNK = 256  # n-grams at a time: what is drawn at once stays in the cache


class SparseProjection:
    """Projects n-grams of a corpus.

    Args:
        projection: its settings; functions may be removed from it later.
        features: shape (n,), every n-gram that will be projected.
    """

    def __init__(self, projection: Projection, features: npt.NDArray[np.uint32]) -> None:
        self._distinct = np.unique(features)
        groups = projection.functions // projection.stride
        self._functions = np.empty((len(self._distinct), groups), dtype=np.int32)
        votes = np.empty((len(self._distinct), groups, projection.dimensions), dtype=np.int32)
        for start in range(0, len(self._distinct), _CHUNK):
            rows = slice(start, start + _CHUNK)
            choices, signs = projection.draw(self._distinct[rows])
            self._functions[rows] = choices + projection.stride * np.arange(groups)
            votes[rows] = 2 * signs.astype(np.int32) - 1
        self._votes = votes.reshape(-1, projection.dimensions)

    def project(
        self,
        projection: Projection,
        features: npt.NDArray[np.uint32],
        counts: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint8]:
        """Project texts.

        Args:
            projection: the settings, without the functions that were removed.
            features: shape (n,), those of one text after another.
            counts: shape (B,), how many each text has.

        Returns:
            Shape (B, b, I), uint8, the neural bits, each 0 or 1.
        """
        observed = np.searchsorted(self._distinct, features)
        text_of = np.repeat(np.arange(len(counts)), counts)
        groups = self._functions.shape[1]
        functions = (text_of[:, None] * projection.functions + self._functions[observed]).ravel()
        votes = (observed[:, None] * groups + np.arange(groups)).ravel()
        takes_part = sparse.coo_array(
            (np.ones(len(votes), dtype=np.int32), (functions, votes)),
            shape=(len(counts) * projection.functions, len(self._votes)),
        )
        sums: npt.NDArray[np.int32] = takes_part.tocsr() @ self._votes
        return projection.code(projection.keep(sums.reshape(len(counts), -1)))
