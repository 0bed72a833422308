"""Drawings in, the same drawings as somebody else might have drawn them out.

Points are turned before anything is drawn, so that the image and the sequence of a drawing
always show the same one.
"""

from dataclasses import replace

import numpy as np

import raster
from dsnjax import config

DRAWS = 4  # random numbers for each drawing


def augmented(packed: raster.Packed, augment: config.Augment, chance: np.ndarray) -> raster.Packed:
    """About half of the drawings mirrored, each turned and stretched a little.

    Args:
        chance: [DRAWS, b] evenly spread in 0..1. Each row has its own use, whatever the values
            are, so that one setting does not change what another one does.
    """
    flip, angle, across, down = chance
    if augment.flip:
        packed = mirrored(packed, flip < 0.5)
    if augment.rotation or augment.stretch:
        turn = np.radians(augment.rotation) * (2 * angle - 1)
        stretch = (1 + augment.stretch) ** (2 * np.stack([across, down]) - 1)
        packed = turned(packed, turn, stretch)
    return packed


def mirrored(packed: raster.Packed, chosen: np.ndarray) -> raster.Packed:
    """Drawings with the `chosen` of them, bool [b], flipped left to right."""
    points = packed.points.copy()
    flipped = np.repeat(chosen, np.diff(packed.index[:, 0]))
    points[flipped, 0] = 255 - points[flipped, 0]
    return replace(packed, points=points)


def turned(packed: raster.Packed, turn: np.ndarray, stretch: np.ndarray) -> raster.Packed:
    """Drawings stretched along x and y, then turned, then moved back into 0..255.

    Args:
        turn: [b] radians.
        stretch: [2, b] factors along x and y; what then is larger than 255 is made to fit.
    """
    counts = np.diff(packed.index[:, 0])
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) * stretch  # [y or x, x or y, b]
    matrix = np.repeat(matrix.astype(np.float32), counts, axis=-1)
    points = np.einsum("ijn,nj->ni", matrix, packed.points.astype(np.float32))
    # One more point keeps reduceat's last start in bounds; drawings without points change nothing.
    starts = packed.index[:-1, 0]
    padded = np.concatenate([points, points[-1:]]) if len(points) else np.zeros((1, 2), np.float32)
    low = np.minimum.reduceat(padded, starts)
    side = np.maximum.reduceat(padded, starts) - low
    scale = np.minimum(1, 255 / np.maximum(side.max(1), 1e-6))
    fitted = (points - np.repeat(low, counts, axis=0)) * np.repeat(scale, counts)[:, None]
    return replace(packed, points=np.clip(fitted, 0, 255).astype(np.float32))
