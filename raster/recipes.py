"""Packed drawings in, images out as others drew them, for results that compare with theirs."""

from __future__ import annotations

import numpy as np

from raster import kernels
from raster.brush import make_brush, paint
from raster.change import boxes
from raster.packed import Packed

PAPER_LEVELS = (255 - 13 * np.arange(11)).astype(np.uint8)
WHITE = kernels.Levels(np.array([255], np.uint8), False)
CHUNK = 64  # drawings whose enlarged images are held at once


def paper(packed: Packed, size: int) -> np.ndarray:
    """As the authors of Deep Sketch Network drew, with OpenCV.

    A canvas of 256 pixels at the drawing's own coordinates, lines of thickness 6 without grey,
    stroke t of level 255 - 13 min(t, 10), dots left out; then `cv2.resize` to `size`. Floats are
    rounded first.
    """
    images = np.empty((len(packed), size, size), np.uint8)
    spans = np.tile(np.array([256, -1]), (256, 1))
    canvas = np.empty((256, 256), np.uint8)
    kernels.draw_paper(packed.columns, PAPER_LEVELS, images, canvas, (spans, _taps(256, size)))
    return images


def google(packed: Packed, size: int) -> np.ndarray:
    """As Google made the data set's 28x28 bitmaps, with cairo (quickdraw-dataset issue 19).

    On a page of 256 + 2 * 16 + 16 units, the drawing in its middle by its largest x and y, white
    round lines 16 units thick. Strokes are drawn four times as large, each apart, and laid on one
    another in the end, since their grey edges add up as cairo's do.
    """
    packed = packed.take(np.arange(len(packed)))  # its columns begin at 0
    _, far = boxes(packed, np.tile(np.eye(2), (len(packed), 1, 1)))
    # 127.5, not 128, is the middle for the kernels that draw: hence 255.
    moved = np.float32(0.5) * (255 - np.maximum(far, 0))
    centred = packed.points + np.repeat(moved, np.diff(packed.index[:, 0]), axis=0)
    ends = np.append(0, np.cumsum(packed.stroke_lengths, dtype=np.int64))
    strokes = np.stack([ends, np.arange(len(ends))], axis=1)  # each a drawing of its own
    factor = max(1, min(4, 1024 // size))
    unit = size * factor / (256 + 2 * 16 + 16)
    brush = make_brush(size * factor, 16 * unit, antialias=True, over=False)
    brush = brush._replace(scale=np.float32(unit))
    images = np.zeros((len(packed), size, size), np.uint8)
    for i in range(0, len(packed), CHUNK):
        some = packed.index[i : i + CHUNK + 1, 1]
        index = strokes[some[0] : some[-1] + 1]
        columns = kernels.Columns(centred, packed.columns.stroke_lengths, index)
        large = paint(columns, WHITE, brush)
        kernels.lay_shrunk(large, factor, some - some[0], images[i : i + CHUNK])
    return images


RECIPES = {"paper": paper, "google": google}


def _taps(canvas: int, size: int) -> np.ndarray:
    """[size, 2]: the pixel left of each output pixel's centre, and 2048ths of its right one."""
    place = np.clip((np.arange(size) + 0.5) * canvas / size - 0.5, 0, canvas - 1)
    left = np.floor(place)
    return np.stack([left, np.rint((place - left) * 2048)], axis=1).astype(np.int64)
