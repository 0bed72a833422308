"""Packed drawings in, images out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raster import kernels
from raster.brush import make_brush, paint
from raster.change import boxes, choose, transform
from raster.levels import find_levels
from raster.measure import entropy
from raster.packed import Packed, pack
from raster.recipes import RECIPES
from raster.sequences import sequences


def render(
    packed: Packed,
    size: int = 96,
    thickness: float = 2.0,
    antialias: bool = True,
    levels: str | np.ndarray | Sequence[str | np.ndarray] = "order",
    recipe: str | None = None,
) -> np.ndarray:
    """Draws each drawing, white on black.

    Args:
        packed: the drawings. Coordinates of 0..255 fill the image but for a margin of
            thickness / 2 + 0.5 pixels, so that none of their ink is cut off; ink of other points
            is, at the border.
        size: height and width in pixels, 8 to 1024.
        thickness: of a stroke, in pixels, 0.5 to 32. Ends and corners are round.
        antialias: grey edges: a pixel is inked as far as a stroke covers it. Without them it is
            inked whole if its centre lies in a stroke, and no stroke is thinner than 1.
        levels: what the grey of a stroke says, 255 the brightest.
            "order": stroke t has level 125 + 13 min(t, 10), so time goes from dark to bright.
            "time": when a segment was drawn, from 125 at the first to 255 at the last.
            "speed": how fast, 55 + 200 v / (v + 0.25), with v in units of 0..255 in a millisecond.
            An array [m] uint8: stroke t has its entry min(t, m - 1).
            A list of these gives several channels. "time" and "speed" need `packed.times`.
        recipe: draws as others did, and leaves only `size` to choose: "paper" as the authors of
            Deep Sketch Network, "google" as the 28x28 bitmaps of the data set.

    Returns uint8 [b, size, size], or [b, size, size, c] for a list of levels.

    Later strokes lie on earlier ones. Where the later one is the brighter, the greater level
    stays, even on a grey edge; where an array makes it darker, it is laid over. For "time" and
    "speed" the greater level always stays.

    Raises ValueError for an argument out of its bounds, drawings without the times asked for, and
    drawings that `Packed.check` refuses.
    """
    _check(size, thickness)
    size = int(size)
    packed.check()
    if recipe is not None:
        if recipe not in RECIPES:
            raise ValueError(f"render: recipe={recipe!r}; want one of {tuple(RECIPES)} or None")
        if not (thickness == 2 and antialias and isinstance(levels, str) and levels == "order"):
            raise ValueError(
                f"render: recipe={recipe!r} fixes thickness, antialias and levels; leave them out"
            )
        return RECIPES[recipe](packed, size)
    if isinstance(levels, str | np.ndarray):
        return _channel(packed, size, thickness, antialias, levels)
    if not levels:
        raise ValueError("render: levels is empty; want at least one name")
    return _woven([_channel(packed, size, thickness, antialias, name) for name in levels])


def _check(size: float, thickness: float) -> None:
    if not 8 <= size <= 1024 or size != int(size):
        raise ValueError(f"render: size={size}; want a whole number of pixels, 8 to 1024")
    if not 0.5 <= thickness <= 32:
        raise ValueError(f"render: thickness={thickness}; want 0.5 to 32 pixels")
    if thickness >= size - 2:
        raise ValueError(
            f"render: thickness={thickness} fills size={size}; want less than size - 2"
        )


def _channel(
    packed: Packed, size: int, thickness: float, antialias: bool, levels: str | np.ndarray
) -> np.ndarray:
    """[b, size, size] in one kind of levels."""
    found, over = find_levels(packed, levels)
    return paint(packed.columns, found, make_brush(size, thickness, antialias, over))


def _woven(channels: list[np.ndarray]) -> np.ndarray:
    """[b, size, size, c]; numpy's own stack takes four times as long as drawing."""
    if len(channels) == 1:
        return channels[0][..., None]
    if len(channels) not in (2, 3):
        return np.stack(channels, axis=-1)
    woven = np.empty((*channels[0].shape, len(channels)), np.uint8)
    flat = [channel.reshape(-1) for channel in channels]
    if len(flat) == 2:
        kernels.weave_two(flat[0], flat[1], woven.reshape(-1))
    else:
        kernels.weave_three(flat[0], flat[1], flat[2], woven.reshape(-1))
    return woven


def warm_up() -> None:
    """Compiles, or loads from numba's cache, what a loader calls; do so before threads start."""
    drawn = pack([[[[0, 255], [0, 255]]]])
    stored = Packed(drawn.points, drawn.stroke_lengths.astype(np.uint16), drawn.index)
    moved = Packed(drawn.points.astype(np.float32), drawn.stroke_lengths, drawn.index)
    same, still = np.eye(2)[None], np.zeros((1, 2))
    for packed in (stored.take([0]), moved.take([0])):
        entropy(render(packed, size=16))
        sequences(packed, 1)
        boxes(choose(packed, np.array([True, True])), same)
        transform(packed, same, still)
    # Up to twice the largest block it has seen freed, glibc keeps memory for the next batch; else
    # it gives back each batch's and maps it anew, page by page, for a third of the drawing's time.
    np.empty(30 << 20, np.uint8)
