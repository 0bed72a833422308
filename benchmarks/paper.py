"""A CSV file of drawings -> their entropies and which to keep, as the paper's authors did it.

Section 3.4 and their published notebooks: `pandas.read_csv`, `ast.literal_eval` on every row, a
line for each segment on 256 x 256 pixels, `cv2.resize` to 96, `np.bincount` over the grey levels,
and of each category what lies strictly between the 5th and the 95th percentile.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

SIZE = 96


def filtered(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Entropy [n] in bits of each drawing of a category, and whether it is kept."""
    import pandas as pd

    frame = pd.read_csv(file)
    entropies = np.array([entropy(image(ast.literal_eval(text))) for text in frame["drawing"]])
    low, high = np.percentile(entropies, [5, 95])
    return entropies, (low < entropies) & (entropies < high)


def image(strokes: list) -> np.ndarray:
    import cv2

    canvas = np.zeros((256, 256), np.uint8)
    for t, (xs, ys) in enumerate(strokes):
        for i in range(len(xs) - 1):
            level = 255 - min(t, 10) * 13
            cv2.line(canvas, (xs[i], ys[i]), (xs[i + 1], ys[i + 1]), level, 6)
    return cv2.resize(canvas, (SIZE, SIZE))


def entropy(image: np.ndarray) -> float:
    counts = np.bincount(image.flatten(), minlength=256)
    share = counts[counts > 0] / image.size
    return float(-(share * np.log2(share)).sum())
