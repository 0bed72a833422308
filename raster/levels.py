"""Packed drawings in, the grey levels that the kernels draw them in out."""

from __future__ import annotations

import numpy as np

from raster import kernels
from raster.packed import Packed

ORDER = (125 + 13 * np.arange(11)).astype(np.uint8)
NAMES = ("order", "time", "speed")
MEDIAN_SPEED = np.float32(0.25)  # units of 0..255 in a millisecond, of the data set's raw drawings


def find_levels(packed: Packed, levels: str | np.ndarray) -> tuple[kernels.Levels, bool]:
    """The levels, and whether a later stroke may be darker than one before it.

    Args:
        levels: a name of `NAMES`, or a table [m] uint8: stroke t has its entry min(t, m - 1).

    Raises ValueError for other names, TypeError for other arrays, and ValueError where "time" or
    "speed" is asked of drawings without times.
    """
    if isinstance(levels, np.ndarray):
        if levels.dtype != np.uint8 or levels.ndim != 1 or len(levels) == 0:
            raise TypeError(
                f"levels: got an array {levels.dtype} {levels.shape}; want uint8 [m], the level of "
                "each stroke in turn"
            )
        falls = bool((levels[1:] < levels[:-1]).any())
        return kernels.Levels(np.array(levels), False), falls
    if levels not in NAMES:
        raise ValueError(f"levels={levels!r}; want one of {NAMES} or an array of uint8")
    if levels == "order":
        return kernels.Levels(ORDER, False), False
    if packed.times is None:
        raise ValueError(
            f"levels={levels!r} needs to know when each point was drawn, and these drawings have "
            "no times; pack raw drawings, [xs, ys, ts], or leave it out"
        )
    if not (np.abs(packed.times) <= kernels.HUGE).all():
        raise ValueError("Packed.times holds NaN or infinity; want milliseconds")
    values = np.empty(len(packed.points), np.uint8)
    if levels == "time":
        kernels.time_levels(packed.columns, packed.times, values)
    else:
        kernels.speed_levels(packed.columns, packed.times, MEDIAN_SPEED, values)
    return kernels.Levels(values, True), False
