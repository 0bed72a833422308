"""Packed drawings in, the same drawings moved, or with fewer points, out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raster import kernels
from raster.packed import Packed


def boxes(packed: Packed, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box around each drawing's points once they are multiplied by its matrix.

    Args:
        matrix: [b, 2, 2].

    Returns the lower and the upper corner, float32 [b, 2] each; 0 for a drawing without points.
    Raises ValueError for another shape, and for drawings that `Packed.check` refuses.
    """
    _require("boxes: matrix", matrix, (len(packed), 2, 2))
    packed.check()
    low, high = np.empty((2, len(packed), 2), np.float32)
    kernels.bound(packed.columns, matrix.astype(np.float32), low, high)
    return low, high


def transform(packed: Packed, matrix: np.ndarray, offset: np.ndarray) -> Packed:
    """Drawings whose points are multiplied by a matrix and moved; those beyond 0..255 are clipped.

    Args:
        matrix: [b, 2, 2], the one of each drawing.
        offset: [b, 2], added afterwards.

    Returns float32 points. Raises ValueError for other shapes, and for drawings that
    `Packed.check` refuses.
    """
    _require("transform: matrix", matrix, (len(packed), 2, 2))
    _require("transform: offset", offset, (len(packed), 2))
    packed.check()
    moved = np.empty(packed.points.shape, np.float32)
    kernels.transform(packed.columns, matrix.astype(np.float32), offset.astype(np.float32), moved)
    return replace(packed, points=moved)


def choose(packed: Packed, chosen: np.ndarray) -> Packed:
    """Drawings with only the `chosen` of their points, bool [n], and the strokes that have some.

    Raises ValueError for another shape, and for drawings that `Packed.check` refuses; TypeError for
    another dtype.
    """
    _require("choose: chosen", chosen, (len(packed.points),))
    if chosen.dtype != bool:
        raise TypeError(f"choose: chosen is {chosen.dtype}; want bool")
    packed.check()
    first, last = packed.index[[0, -1]]
    chosen = chosen[first[0] : last[0]]
    ends = np.append(0, np.cumsum(packed.stroke_lengths[first[1] : last[1]], dtype=np.int64))
    before = np.append(0, np.cumsum(chosen))  # chosen points before each
    lengths = np.diff(before[ends]).astype(np.int32)
    left = np.append(0, np.cumsum(lengths > 0))  # strokes that stay before each
    points, strokes = (packed.index - first).T
    index = np.stack([before[points], left[strokes]], axis=1)
    stay = first[0] + np.flatnonzero(chosen)
    times = None if packed.times is None else packed.times.take(stay)
    return Packed(packed.points.take(stay, axis=0), lengths[lengths > 0], index, times)


def _require(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} is {array.shape}; want {shape}")
