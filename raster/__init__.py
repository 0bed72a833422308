"""Drawings made of strokes in, images and sequences for learning out; numpy and numba only."""

from raster.measure import entropy
from raster.packed import Packed, pack
from raster.render import render, warm_up
from raster.sequences import sequences
from raster.simplify import simplify

__all__ = ["Packed", "entropy", "pack", "render", "sequences", "simplify", "warm_up"]
