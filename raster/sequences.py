"""Packed drawings in, the padded sequences of points that a recurrent network reads out."""

from __future__ import annotations

import numpy as np

from raster import kernels
from raster.packed import Packed


def sequences(packed: Packed, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `length` points of each drawing as steps of the pen.

    Returns:
        [b, length, 3] float32: (dx, dy, pen), the step from the point before divided by 255 (the
            first is (0, 0)) and 1 on the last point of a stroke; zeros after the last point.
        [b] int32: how many points are real.

    Raises ValueError for a length below 1 and for drawings that `Packed.check` refuses.
    """
    if length < 1:
        raise ValueError(f"sequences: length={length}; want at least 1")
    packed.check()
    steps = np.empty((len(packed), length, 3), np.float32)
    lengths = np.empty(len(packed), np.int32)
    kernels.sequences(packed.columns, steps, lengths)
    return steps, lengths
