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
    kernels.order_levels(packed.columns, ORDER, point_levels)
    width = max(size, kernels.LANES)
    images = np.empty((len(packed), size, width), np.uint8)
    if antialias:
        kernels.draw(packed.columns, point_levels, images, _brush(size, thickness), _work())
    else:
        kernels.draw_plain(packed.columns, point_levels, images, _brush(size, thickness))
    return images if width == size else np.ascontiguousarray(images[:, :, :size])


def _brush(size: int, thickness: float) -> kernels.Brush:
    pad = thickness / 2 + 0.5
    # int16 holds +-32767: half of the diagonal and the widest stroke must fit.
    unit = 128 if size <= 256 else 64 if size <= 512 else 32
    return kernels.Brush(
        np.float32((size - 1 - 2 * pad) / 255),
        np.float32(thickness / 2),
        np.float32(unit),
        np.int16(round((thickness / 2 + 0.5) * unit)),
        np.int16(unit),
    )


def _work() -> kernels.Work:
    return kernels.Work(
        np.zeros(2 * kernels.ROOM, np.float32),
        np.zeros(kernels.FIELDS * kernels.BLOCK, np.int32),
    )


def warm_up() -> None:
    """Compiles, or loads from numba's cache, what a loader calls; do so before threads start."""
    stored = pack([[[[0, 255], [0, 255]]]])
    for packed in (stored, Packed(stored.points.astype(np.float32), *stored.columns[1:])):
        entropy(render(packed.take([0]), size=16))
        render(packed, size=16, antialias=False)
        sequences(packed, 1)
