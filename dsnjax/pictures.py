"""Drawings or their images in, pictures to look at out: a contact sheet as PNG, or SVG."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LINE = 14  # pixels of a caption's height
LETTER = 6  # pixels of its letters' width
COLUMNS = 10
NARROWEST = 96  # pixels; room for 16 letters
LARGEST = 89_000_000  # pixels of a sheet; Pillow warns when it opens a larger picture


def most(size: int) -> int:
    """How many drawings of a size fit on a sheet."""
    return LARGEST // (COLUMNS * max(size, NARROWEST) * (size + LINE)) * COLUMNS


def sheet(images: np.ndarray, captions: Sequence[str], path: Path) -> None:
    """Writes a contact sheet, row by row, each drawing over its caption.

    Args:
        images: uint8 [b, h, w], ink bright on black, as the network sees it.
        captions: b names; what does not fit is cut.
    """
    b, height, width = images.shape
    down, across = height + LINE, max(width, NARROWEST)
    page = Image.new("L", (COLUMNS * across, math.ceil(b / COLUMNS) * down))
    pen = ImageDraw.Draw(page)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(place, COLUMNS)
        left = column * across + (across - width) // 2
        page.paste(Image.fromarray(image), (left, row * down))
        caption = caption[: across // LETTER]
        left = column * across + (across - LETTER * len(caption)) // 2
        pen.text((left, (row + 1) * down - LINE), caption, fill=160)
    page.save(path)


def svg(drawing: Sequence[Sequence], size: int, thickness: float) -> str:
    """A drawing of 0..255 as an SVG picture, one path a stroke, black on nothing.

    Args:
        size: height and width in pixels.
        thickness: of a stroke, in pixels.
    """
    wide = thickness * 255 / max(size - thickness, 1)
    lines = [f'<path d="{path(stroke)}"/>' for stroke in drawing]
    box = f"{-wide / 2:g} {-wide / 2:g} {255 + wide:g} {255 + wide:g}"
    form = f'fill="none" stroke="black" stroke-width="{wide:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{size}" height="{size}">\n'
        f'<g {form} stroke-linecap="round" stroke-linejoin="round">\n'
        + "\n".join(lines)
        + "\n</g>\n</svg>\n"
    )


def path(stroke: Sequence[Sequence[float]]) -> str:
    """The `d` of a stroke's path in whole numbers, which are exact for simplified drawings."""
    xs, ys = (np.rint(column).astype(int) for column in stroke[:2])
    moves = zip(np.diff(xs), np.diff(ys), strict=True)
    # A stroke of one point has no length; with round caps a move of nothing makes a dot.
    steps = "".join(f"{dx}{dy:+d} " for dx, dy in moves).rstrip() or "0+0"
    return f"M{xs[0]} {ys[0]}l{steps}"
