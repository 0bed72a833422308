"""Entropy of every drawing in, a keep mask out: the class-wise filter of section 3.4.

Drawings below the low percentile of their own category are unfinished, those above the
high one scribbled over. The bounds are percentiles of the category, not entropies.
"""

import numpy as np


def keep_mask(
    entropy: np.ndarray, label: np.ndarray, low: float = 0.05, high: float = 0.95
) -> np.ndarray:
    """Which drawings lie strictly between the two percentiles of their category.

    A bound of 0 or 1 cuts nothing. A category of fewer drawings than one in the share that
    is cut (20 for 0.05), or whose drawings hardly differ, keeps all of them.

    Args:
        entropy: float [n] bits.
        label: [n] the category of each drawing.
        low: share of each category to drop for too little entropy.
        high: share above which the rest is dropped for too much.

    Returns:
        bool [n].
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"noise: want 0 <= low < high <= 1, got low={low} and high={high}")
    keep = np.ones(len(entropy), bool)
    order = np.argsort(label, kind="stable")
    ends = np.flatnonzero(np.diff(label[order], append=-1)) + 1
    for rows in np.split(order, ends[:-1]):
        keep[rows] = _within(entropy[rows], low, high)
    return keep


def cuts(entropy: np.ndarray, low: float = 0.05, high: float = 0.95) -> tuple[float, float]:
    """The two entropies, in bits, between which drawings of one category are kept."""
    few = len(entropy) * min(low or 1, 1 - high or 1) < 1
    lower, upper = (0.0, 0.0) if few else np.quantile(entropy.astype(np.float64), [low, high])
    if lower >= upper:
        return -np.inf, np.inf
    return (float(lower) if low > 0 else -np.inf), (float(upper) if high < 1 else np.inf)


def _within(entropy: np.ndarray, low: float, high: float) -> np.ndarray:
    lower, upper = cuts(entropy, low, high)
    return (lower < entropy) & (entropy < upper)
