"""Packed drawings in, images out as others drew them, for results that compare with theirs."""

from __future__ import annotations

import numpy as np

from raster import kernels
from raster.brush import make_brush, paint
from raster.levels import point_levels
from raster.packed import Packed

PAPER_LEVELS = (255 - 13 * np.arange(11)).astype(np.uint8)
WHITE = np.array([255], np.uint8)
CHUNK = 64  # drawings whose enlarged images are held at once


def paper(packed: Packed, size: int) -> np.ndarray:
    """As the authors of Deep Sketch Network drew, with OpenCV.

    A canvas of 256 pixels at the drawing's own coordinates, lines of thickness 6 without grey,
    stroke t of level 255 - 13 min(t, 10), dots left out; then `cv2.resize` to `size`. Floats are
    rounded first.
    """
    levels, _ = point_levels(packed, PAPER_LEVELS)
    images = np.empty((len(packed), size, size), np.uint8)
    spans = np.tile(np.array([256, -1]), (256, 1))
    canvas = np.empty((256, 256), np.uint8)
    kernels.draw_paper(packed.columns, levels, images, canvas, (spans, _taps(256, size)))
    return images


def google(packed: Packed, size: int) -> np.ndarray:
    """As Google made the data set's 28x28 bitmaps, with cairo (quickdraw-dataset issue 19).

    On a page of 256 + 2 * 16 + 16 units, the drawing in its middle by its largest x and y, white
    round lines 16 units thick. Drawn four times as large, each pixel is the mean of 16.
    """
    levels, _ = point_levels(packed, WHITE)
    centred = np.empty(packed.points.shape, np.float32)
    kernels.centre(packed.columns, centred)
    factor = max(1, min(4, 1024 // size))
    large = size * factor
    unit = large / (256 + 2 * 16 + 16)
    brush = make_brush(large, 16 * unit, antialias=True, over=False)
    brush = brush._replace(scale=np.float32(unit))
    images = np.empty((len(packed), size, size), np.uint8)
    for i in range(0, len(packed), CHUNK):
        index = packed.columns.index[i : i + CHUNK + 1]
        columns = kernels.Columns(centred, packed.columns.stroke_lengths, index)
        drawn = paint(columns, levels, large, brush)
        kernels.shrink(drawn, factor, images[i : i + CHUNK])
    return images


RECIPES = {"paper": paper, "google": google}


def _taps(canvas: int, size: int) -> np.ndarray:
    """[size, 2]: the pixel left of each output pixel's centre, and 2048ths of its right one."""
    place = np.clip((np.arange(size) + 0.5) * canvas / size - 0.5, 0, canvas - 1)
    left = np.floor(place)
    return np.stack([left, np.rint((place - left) * 2048)], axis=1).astype(np.int64)
