"""A raw drawing in, a simplified one out, the way Google made the simplified files.

The four steps are those of the data set's page: align to the top left corner, scale to 255,
resample with a spacing of 1, thin by Ramer, Douglas and Peucker with epsilon 2.
"""

from __future__ import annotations

import itertools
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
    points, lengths = _flat([stroke for stroke in raw if not len(stroke) or len(stroke[0])], times)
    if not lengths.size:
        return []
    low, high = points[:2].min(axis=1), points[:2].max(axis=1)
    points[:2] = (points[:2] - low[:, None]) * (255.0 / max(float((high - low).max()), 1e-9))
    # Room for every stroke's points at their spacing, its last, and roundings.
    way = np.hypot(*np.diff(points[:2], axis=1)).sum()
    room = int(way / SPACING) + 4 * len(lengths)
    work = np.empty((3, room)), np.empty(room, np.bool_), np.empty((room + 1, 2), np.int64)
    thinned, ends = np.empty((3, room)), np.empty(len(lengths), np.int64)
    kernels.simplify(points, lengths, (SPACING, EPSILON), work, (thinned, ends))
    whole = np.rint(thinned[:2, : ends[-1]]).astype(int)
    columns = [*whole.tolist(), *([thinned[2, : ends[-1]].tolist()] if times else [])]
    spans = itertools.pairwise([0, *ends.tolist()])
    return [[column[a:z] for column in columns] for a, z in spans]


def _flat(strokes: list, times: bool) -> tuple[np.ndarray, np.ndarray]:
    """All points [3, n] float64: x, y and the time, or 0; and how many each stroke has."""
    for stroke in strokes:
        if times and len(stroke) < 3:
            raise ValueError("simplify: times=True, but a stroke has no times; want [xs, ys, ts]")
        lengths = [len(column) for column in stroke[:3]]
        if len(lengths) < 2 or len(set(lengths)) != 1:
            raise ValueError(
                f"simplify: a stroke has columns of lengths {lengths}; want equal ones"
            )
    lengths = np.array([len(stroke[0]) for stroke in strokes], np.int64)
    points = np.zeros((3, lengths.sum()))
    for column in range(3 if times else 2):
        points[column] = list(itertools.chain.from_iterable(stroke[column] for stroke in strokes))
    if not (np.abs(points) <= kernels.HUGE).all():
        raise ValueError(
            "simplify: a coordinate is NaN, infinite or beyond 1e30; want moderate ones"
        )
    return points, lengths
