"""Calibration: the temperature and the threshold, both set on validation data alone."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

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


def threshold(leads: npt.NDArray[np.float64], max_false_rejects: float) -> float:
    """Return the largest threshold that takes few enough in-scope texts for out-of-scope ones.

    Args:
        leads: shape (N,), the lead of the greatest score of in-scope texts, or what else decides.
        max_false_rejects: the share of them that may fall below the threshold.
    """
    allowed = int(max_false_rejects * len(leads) + 1e-9)  # 0.29·100 is 28.999… in floats
    return float(np.sort(leads)[min(allowed, len(leads) - 1)])
