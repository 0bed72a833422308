"""Entropy of every drawing in, a keep mask out: the class-wise filter of section 3.4.

Drawings below the low percentile of their own category are unfinished, those above the
high one scribbled over. The bounds are percentiles of the category, not entropies.
"""

import numpy as np

from dsnjax.config import Noise


def keep_mask(entropy: np.ndarray, label: np.ndarray, rule: Noise) -> np.ndarray:
    """Which drawings lie strictly between the rule's two percentiles of their category.

    A bound of 0 or 1 cuts nothing. A category of fewer drawings than one in the share that
    is cut (20 for 0.05), or whose drawings hardly differ, keeps all of them.

    Args:
        entropy: float [n] bits.
        label: [n] the category of each drawing.

    Returns:
        bool [n].
    """
    keep = np.ones(len(entropy), bool)
    for rows in by_category(np.arange(len(label)), label):
        lower, upper = cuts(entropy[rows], rule)
        keep[rows] = (lower < entropy[rows]) & (entropy[rows] < upper)
    return keep


def by_category(rows: np.ndarray, label: np.ndarray) -> list[np.ndarray]:
    """The rows of each label that there is."""
    order = np.argsort(label, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(label[order])) + 1)


def cuts(entropy: np.ndarray, rule: Noise) -> tuple[float, float]:
    """The two entropies, in bits, between which drawings of one category are kept."""
    low, high = rule.low, rule.high
    few = len(entropy) * min(low or 1, 1 - high or 1) < 1
    lower, upper = (0.0, 0.0) if few else np.quantile(entropy.astype(np.float64), [low, high])
    if lower >= upper:
        return -np.inf, np.inf
    return (float(lower) if low > 0 else -np.inf), (float(upper) if high < 1 else np.inf)
