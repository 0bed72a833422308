"""Logits and labels in, the temperature out that makes probabilities tell how often one is right.

Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks): logits are divided
by one number, fitted on drawings that were not trained on. No ranking changes by it.
"""

import numpy as np

MOST = 20_000  # drawings that are enough for one number
LOWEST, HIGHEST = 0.25, 4.0  # a handful of drawings may ask for anything
BINS = 15


def temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The number that logits [b, k] are to be divided by; 1 where there is no drawing to fit it on.

    It has the least cross entropy, whose slope by 1 / temperature only grows: halved intervals
    find where it is zero.
    """
    if not len(logits) or not np.isfinite(logits).all():
        return 1.0
    logits = logits.astype(np.float64)
    own = logits[np.arange(len(label)), label]
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(30):
        middle = (low * high) ** 0.5
        slope = np.mean(np.sum(softmax(logits * middle) * logits, axis=1) - own)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(1 / (low * high) ** 0.5, 4)


def error(chances: np.ndarray, label: np.ndarray) -> float:
    """Expected calibration error: how far the first guess's probability is from how often it hits.

    Args:
        chances: [b, k] probabilities.
        label: [b].
    """
    sure, hit = chances.max(axis=1), chances.argmax(axis=1) == label
    group = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(group, hit - sure, BINS)
    return float(np.abs(gaps).sum() / max(len(label), 1))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [b, k]."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)
