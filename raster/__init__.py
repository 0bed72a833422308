"""Drawings made of strokes in, images and sequences for learning out; numpy and numba only."""

from raster.change import boxes, choose, transform
from raster.measure import entropy
from raster.packed import Packed, pack
from raster.render import render, warm_up
from raster.sequences import sequences
from raster.simplify import simplify

__all__ = [
    "Packed",
    "boxes",
    "choose",
    "entropy",
    "pack",
    "render",
    "sequences",
    "simplify",
    "transform",
    "warm_up",
]
