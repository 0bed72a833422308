"""Packed drawings in, images out: checks, allocates, calls the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raster import kernels
from raster.measure import entropy
from raster.packed import Packed, pack
from raster.sequences import sequences

ORDER = (125 + 13 * np.minimum(np.arange(11), 10)).astype(np.uint8)


def render(
    packed: Packed,
    size: int = 96,
    thickness: float = 2.0,
    antialias: bool = True,
    levels: str | Sequence[str] | np.ndarray = "order",
    recipe: str | None = None,
) -> np.ndarray:
    """Draws each drawing as an image, white on black.

    Args:
        packed: the drawings; coordinates of 0..255 fill the image up to a margin of
            thickness / 2 + 0.5 pixels, ink beyond the image's border is cut off.
        size: height and width in pixels, 8 to 1024.
        thickness: of a stroke, in pixels, 0.5 to 32.
        levels: "order" gives stroke t the grey level 125 + 13 min(t, 10).

    Returns uint8 [b, size, size].
    """
    if not 8 <= size <= 1024:
        raise ValueError(f"render: size={size}; want 8 to 1024 pixels")
    if not 0.5 <= thickness <= 32:
        raise ValueError(f"render: thickness={thickness}; want 0.5 to 32 pixels")
    packed.check()
    point_levels = np.empty(len(packed.points), np.uint8)
    table = ORDER if isinstance(levels, str) else levels
    kernels.order_levels(packed.columns, table, point_levels)
    width = max(size, kernels.LANES)
    images = np.empty((len(packed), size, width), np.uint8)
    over = bool(np.any(np.diff(table.astype(int)) < 0))
    brush = _brush(size, thickness, antialias, over)
    longest = int(np.diff(packed.index[:, 0]).max(initial=0))
    work = _work(longest, size * width if over else 0)
    kernels.draw(packed.columns, point_levels, images, brush, work)
    return images if width == size else np.ascontiguousarray(images[:, :, :size])


def _brush(size: int, thickness: float, antialias: bool, over: bool) -> kernels.Brush:
    margin = thickness / 2 + 0.5
    # int16 holds +-32767: half of the diagonal and the widest stroke must fit.
    unit = 128 if size <= 256 else 64 if size <= 512 else 32
    if antialias:
        fade = round(min(thickness, 1) * unit)
        solid, gain = round(margin * unit) - fade, 128 // unit
    else:
        solid, fade, gain = round(max(thickness, 1) / 2 * unit), 1, 128
    return kernels.Brush(
        scale=np.float32((size - 1 - 2 * margin) / 255),
        # `ink_row` measures up to 3 % too short.
        reach=np.float32((solid + fade) / unit * 1.035),
        unit=np.float32(unit),
        solid=np.uint16(solid),
        fade=np.uint16(fade),
        gain=np.uint16(gain),
        over=np.bool_(over),
    )


def _work(longest: int, pixels: int) -> kernels.Work:
    groups = longest // kernels.LANES + 1
    return kernels.Work(
        np.zeros((2, groups * kernels.LANES + 1), np.float32),
        np.zeros(groups * kernels.LANES * kernels.FIELDS, np.int32),
        np.zeros(pixels, np.uint8),
    )


def warm_up() -> None:
    """Compiles, or loads from numba's cache, what a loader calls; do so before threads start."""
    stored = pack([[[[0, 255], [0, 255]]]])
    for packed in (stored, Packed(stored.points.astype(np.float32), *stored.columns[1:])):
        entropy(render(packed.take([0]), size=16))
        render(packed, size=16, antialias=False)
        sequences(packed, 1)
