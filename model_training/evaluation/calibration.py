"""Calibration: the temperature and the threshold, both set on validation data alone."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import bdtr, logsumexp

CONFIDENCE = 0.95
"""How sure a threshold is to keep what it promises on texts yet unseen."""

_LOG_TEMPERATURES = (-4.0, 4.0)


def temperature(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.intp]) -> float:
    """Return the temperature that makes the labels likeliest (Guo et al. 2017, section 4.2).

    Args:
        logits: shape (N, C).
        labels: shape (N,), the right ones.

    Returns:
        What to divide the logits by, between e⁻⁴ and e⁴: validation data that is classified
        without an error would ask for 0.
    """

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        right = scaled[np.arange(len(labels)), labels]
        return float(np.mean(logsumexp(scaled, axis=1) - right))

    found = minimize_scalar(negative_log_likelihood, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def threshold(margins: npt.NDArray[np.float64], max_false_rejects: float) -> float:
    """Return the largest threshold that is sure to take few in-scope texts for out-of-scope ones.

    Of N texts, k of which lie below the threshold, one can be `CONFIDENCE` sure that no more than a
    share α of all such texts does, if that few would be that rare were it α: P(Binomial(N, α) ≤ k)
    ≤ 1 − `CONFIDENCE` (the exact bound of Clopper and Pearson 1934).

    Args:
        margins: shape (N,), those of in-scope texts, or what else decides.
        max_false_rejects: α, the share of such texts that may fall below the threshold.

    Returns:
        The margin of one of the texts. The least one if N is too small for anything to be sure.
    """
    chances = bdtr(np.arange(len(margins)), len(margins), max_false_rejects)
    allowed = int(np.sum(chances <= 1 - CONFIDENCE)) - 1
    return float(np.sort(margins)[max(allowed, 0)])
