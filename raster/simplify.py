"""A raw drawing in, a simplified one out, the way Google made the simplified files.

The four steps are those of the data set's page: align to the top left corner, scale to 255,
resample with a spacing of 1, thin by Ramer, Douglas and Peucker with epsilon 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raster import kernels

SPACING, EPSILON = 1.0, 2.0


def simplify(raw: Sequence[Sequence[Sequence[float]]]) -> list[list[list[int]]]:
    """The simplified form `[[xs, ys], ...]`, whole numbers of 0..255, of one raw drawing.

    Args:
        raw: strokes `[xs, ys]` or `[xs, ys, ts]` in any unit of length; times are dropped.

    Raises ValueError for a coordinate that is not finite.
    """
    strokes = [np.array(stroke[:2], np.float64) for stroke in raw if len(stroke[0])]
    if not strokes:
        return []
    low = np.min([stroke.min(axis=1) for stroke in strokes], axis=0)
    high = np.max([stroke.max(axis=1) for stroke in strokes], axis=0)
    if not np.isfinite(high - low).all():
        raise ValueError("simplify: a coordinate is NaN or infinite; want finite ones")
    scale = 255.0 / max(float((high - low).max()), 1e-9)
    return [_simplify_stroke((stroke - low[:, None]) * scale) for stroke in strokes]


def _simplify_stroke(stroke: np.ndarray) -> list[list[int]]:
    length = np.hypot(*np.diff(stroke, axis=1)).sum()
    x, y = np.empty((2, int(length / SPACING) + 4))
    count = kernels.resample(stroke[0], stroke[1], SPACING, x, y)
    kept = np.empty(count, np.bool_)
    kernels.thin(x[:count], y[:count], EPSILON, kept, np.empty((count + 2, 2), np.int64))
    return [x[:count][kept].astype(int).tolist(), y[:count][kept].astype(int).tolist()]
