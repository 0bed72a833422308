"""Drawings in, the same drawings as somebody else might have drawn them out.

Points are changed before anything is drawn, so that the image and the sequence of a drawing
always show the same one, and every point stays in 0..255, so that nothing is cut off.
"""

from dataclasses import dataclass, replace

import numpy as np

import raster
from dsnjax import config
from dsnjax.data.join import mix
from dsnjax.errors import UserError

DRAWS = 9  # random numbers for each drawing


def augmented(packed: raster.Packed, augment: config.Augment, chance: np.ndarray) -> raster.Packed:
    """Drawings without some strokes and points, mirrored, turned, stretched, smaller, elsewhere.

    Args:
        chance: [DRAWS, b] evenly spread in 0..1. Each row has its own use, whatever the values
            are, so that one setting does not change what another one does.
    """
    flip, angle, across, down, size, x, y, strokes, points = chance
    if augment.drop_strokes:
        packed = without_last_strokes(packed, augment.drop_strokes, strokes)
    if augment.drop_points:
        packed = without_points(packed, augment.drop_points, points)
    if augment.flip:
        packed = mirrored(packed, flip < 0.5)
    if augment.rotation or augment.stretch:
        turn = np.radians(augment.rotation) * (2 * angle - 1)
        stretch = (1 + augment.stretch) ** (2 * np.stack([across, down]) - 1)
        packed = turned(packed, turn, stretch)
    if augment.scale or augment.shift:
        place = np.stack([x, y], axis=1)
        packed = placed(packed, 1 - augment.scale * size, place, augment.shift)
    return packed


@dataclass(frozen=True)
class View:
    """A way to show drawings; by default as they are.

    flip: left to right. turn: radians, before they are moved back into 0..255.
    """

    flip: bool = False
    turn: float = 0.0

    def __call__(self, packed: raster.Packed) -> raster.Packed:
        """The drawings shown this way."""
        count = len(packed)
        if self.flip:
            packed = mirrored(packed, np.full(count, True))
        if self.turn:
            packed = turned(packed, np.full(count, self.turn), np.ones((2, count)))
        return packed


AS_IS = View()


def views(augment: config.Augment) -> list[View]:
    """What test-time augmentation shows a network that was trained with `augment`.

    Each drawing as it is and, as far as training changed drawings so, mirrored, and both of these
    turned to either side by half of what training turned at most.

    Raises:
        UserError: training neither mirrored nor turned drawings.
    """
    flips = [False, True] if augment.flip else [False]
    half = float(np.radians(augment.rotation / 2))
    turns = [0.0, -half, half] if half else [0.0]
    found = [View(flip, turn) for turn in turns for flip in flips]
    if len(found) == 1:
        raise UserError(
            "--tta shows drawings mirrored and turned, but this network was trained on none that "
            "were (data.augment.flip, data.augment.rotation)"
        )
    return found


def mirrored(packed: raster.Packed, chosen: np.ndarray) -> raster.Packed:
    """Drawings with the `chosen` of them, bool [b], flipped left to right."""
    points = packed.points.copy()
    flipped = np.repeat(chosen, np.diff(packed.index[:, 0]))
    np.subtract(255, points[:, 0], out=points[:, 0], where=flipped, dtype=points.dtype)
    return replace(packed, points=points)


def turned(packed: raster.Packed, turn: np.ndarray, stretch: np.ndarray) -> raster.Packed:
    """Drawings stretched along x and y, then turned, then moved back into 0..255.

    Args:
        turn: [b] radians.
        stretch: [2, b] factors along x and y; what then is larger than 255 is made to fit.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.moveaxis(np.array([[cos, -sin], [sin, cos]]) * stretch, -1, 0)  # [b, 2, 2]
    low, high = raster.boxes(packed, matrix)
    fit = np.minimum(1, 255 / np.maximum((high - low).max(1, keepdims=True), 1e-6))
    return raster.transform(packed, matrix * fit[..., None], -low * fit)


def placed(
    packed: raster.Packed, size: np.ndarray, place: np.ndarray, shift: float
) -> raster.Packed:
    """Drawings made smaller about their middle and moved towards another place.

    Args:
        size: [b] factors, at most 1.
        place: [b, 2] where in the room that a drawing leaves along x and along y, 0..1.
        shift: share of the way to that place; 1 goes there, 0 stays.
    """
    matrix, size = size[:, None, None] * np.eye(2), size[:, None]
    low, high = raster.boxes(packed, matrix)
    side, middle = high - low, (high + low) / (2 * size)
    corner = middle - side / 2
    corner += shift * (place * (255 - side) - corner)
    return raster.transform(packed, matrix, corner - low)


def without_last_strokes(packed: raster.Packed, share: float, chance: np.ndarray) -> raster.Packed:
    """Drawings without some of their last strokes.

    Args:
        share: how many of its strokes a drawing may lose, below 1.
        chance: [b] 0..1; how many it loses, from none to all that it may.
    """
    counts = np.diff(packed.index[:, 1])
    lost = (chance * (np.floor(share * counts) + 1)).astype(np.int64)
    return first_strokes(packed, counts - lost)


def first_strokes(packed: raster.Packed, kept: np.ndarray) -> raster.Packed:
    """Drawings with only the first `kept` [b] of their strokes."""
    counts = np.diff(packed.index[:, 1])
    number = np.arange(counts.sum()) - np.repeat(packed.index[:-1, 1], counts)
    early = number < np.repeat(kept, counts)
    return raster.choose(packed, np.repeat(early, packed.stroke_lengths))


def without_points(packed: raster.Packed, share: float, chance: np.ndarray) -> raster.Packed:
    """Drawings without about a share of their points; strokes keep both of their ends.

    Args:
        chance: [b] 0..1, from which a number for each point is made, so that a drawing loses the
            same ones whatever stands beside it.
    """
    counts = np.diff(packed.index[:, 0])
    first = (chance * 2**53).astype(np.uint64) - packed.index[:-1, 0].astype(np.uint64)
    number = mix(np.arange(counts.sum(), dtype=np.uint64) + np.repeat(first, counts))
    chosen = number >= np.uint64(share * 2**64)
    lengths = packed.stroke_lengths[packed.stroke_lengths > 0]
    ends = np.cumsum(lengths, dtype=np.int64)
    chosen[ends - lengths] = chosen[ends - 1] = True
    return raster.choose(packed, chosen)
