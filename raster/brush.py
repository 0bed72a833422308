"""A size and a thickness in, the kernels' brush out; a brush and drawings in, images out."""

from __future__ import annotations

import functools

import numpy as np

from raster import kernels


@functools.lru_cache(maxsize=64)
def make_brush(size: int, thickness: float, antialias: bool, over: bool) -> kernels.Brush:
    """The brush for images of `size` pixels that keeps thickness / 2 + 0.5 free at the border."""
    margin = thickness / 2 + 0.5
    # int16 holds +-32767: half of the diagonal and the widest stroke must fit.
    unit = 128 if size <= 256 else 64 if size <= 512 else 32
    if antialias:
        # A line thinner than a pixel covers no pixel whole.
        fade = round(min(thickness, 1) * unit)
        solid, gain = round(margin * unit) - fade, 128 // unit
    else:
        # Half a pixel on each side is the least without holes.
        solid, fade, gain = round(max(thickness, 1) / 2 * unit), 1, 128
    return kernels.Brush(
        size=np.int32(size),
        width=np.int32(max(size, kernels.LANES)),
        scale=np.float32((size - 1 - 2 * margin) / 255),
        reach=np.float32((solid + fade) / unit * 1.035),  # distances are measured up to 3 % short
        unit=np.float32(unit),
        solid=np.uint16(solid),
        fade=np.uint16(fade),
        gain=np.uint16(gain),
        over=np.bool_(over),
    )


def paint(columns: kernels.Columns, levels: kernels.Levels, brush: kernels.Brush) -> np.ndarray:
    """Draws with `kernels.draw`; returns uint8 [b, size, size]."""
    size, width = int(brush.size), int(brush.width)
    first = columns.index[:, 0]
    longest = int((first[1:] - first[:-1]).max(initial=0))
    groups = longest // kernels.LANES + 1
    work = kernels.Work(
        np.zeros((2, groups * kernels.LANES + 1), np.float32),
        np.zeros(groups * kernels.LANES * kernels.FIELDS, np.int32),
        np.zeros(size * width if brush.over else 0, np.uint8),
    )
    flat = np.empty((len(first) - 1, size * width), np.uint8)
    kernels.draw(columns, levels, flat, brush, work)
    images = flat.reshape(-1, size, width)
    return images if width == size else np.ascontiguousarray(images[:, :, :size])
