"""A raw drawing in, a simplified one out, the way Google made the simplified files.

The four steps are those of the data set's page: align to the top left corner, scale to 255,
resample with a spacing of 1, thin by Ramer, Douglas and Peucker with epsilon 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raster import kernels

SPACING, EPSILON = 1.0, 2.0


def simplify(
    raw: Sequence[Sequence[Sequence[float]]], times: bool = False
) -> list[list[list[float]]]:
    """The simplified form `[[xs, ys], ...]` of one raw drawing: whole numbers of 0..255.

    94 in 100 raw drawings of the data set come out as in Google's simplified files, point for
    point; in most others a few points differ by 1.

    Args:
        raw: strokes `[xs, ys]` or `[xs, ys, ts]`, x and y in any unit. Strokes without points go.
        times: keep a third column, when each point was drawn, in the unit of ts.

    Raises ValueError for a coordinate that is not finite, columns of unequal length, and `times`
    of strokes that have none.
    """
    strokes = [_columns(stroke, times) for stroke in raw if len(stroke[0])]
    if not strokes:
        return []
    low = np.min([stroke[:2].min(axis=1) for stroke in strokes], axis=0)
    high = np.max([stroke[:2].max(axis=1) for stroke in strokes], axis=0)
    scale = 255.0 / max(float((high - low).max()), 1e-9)
    for stroke in strokes:
        stroke[:2] = (stroke[:2] - low[:, None]) * scale
    return [_thinned(stroke)[: 3 if times else 2] for stroke in strokes]


def _columns(stroke: Sequence[Sequence[float]], times: bool) -> np.ndarray:
    """[3, n] float64: x, y and the time, or 0."""
    if times and len(stroke) < 3:
        raise ValueError("simplify: times=True, but a stroke has no times; want [xs, ys, ts]")
    lengths = [len(column) for column in stroke[:3]]
    if len(lengths) < 2 or len(set(lengths)) != 1:
        raise ValueError(f"simplify: a stroke has columns of lengths {lengths}; want equal ones")
    columns = np.zeros((3, lengths[0]))
    columns[: len(lengths)] = stroke[:3]
    if not (np.abs(columns) <= kernels.HUGE).all():
        raise ValueError(
            "simplify: a coordinate is NaN, infinite or beyond 1e30; want moderate ones"
        )
    return columns


def _thinned(stroke: np.ndarray) -> list[list[float]]:
    length = np.hypot(*np.diff(stroke[:2], axis=1)).sum()
    points = np.empty((3, int(length / SPACING) + 4))
    count = kernels.resample(stroke, SPACING, points)
    kept = np.empty(count, np.bool_)
    kernels.thin(points[:, :count], EPSILON, kept, np.empty((count + 1, 2), np.int64))
    x, y, t = points[:, :count][:, kept]
    return [np.rint(x).astype(int).tolist(), np.rint(y).astype(int).tolist(), t.tolist()]
