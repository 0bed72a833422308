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


def reliability(probability: np.ndarray, hit: np.ndarray) -> tuple[list[dict[str, float]], float]:
    """How far stated probabilities can be trusted.

    Args:
        probability: [n] of each drawing's first name.
        hit: bool [n] whether that name was right.

    Returns:
        for each of BINS equal parts of 0..1 that has drawings `probability`, `accuracy`,
        `drawings`; and the expected calibration error: the mean gap of the two, weighed by
        drawings.
    """
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    rows = []
    for number in np.unique(place):
        inside = place == number
        rows.append(
            {
                "probability": float(probability[inside].mean()),
                "accuracy": float(hit[inside].mean()),
                "drawings": int(inside.sum()),
            }
        )
    gaps = [abs(row["probability"] - row["accuracy"]) * row["drawings"] for row in rows]
    return rows, sum(gaps) / max(len(hit), 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [b, k]."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)
