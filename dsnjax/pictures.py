"""Images of drawings and their captions in, one PNG to look at out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LINE = 14  # pixels of a caption


def sheet(images: np.ndarray, captions: Sequence[str], path: Path, columns: int = 10) -> None:
    """Writes a contact sheet, row by row, each drawing over its caption.

    Args:
        images: uint8 [b, h, w], ink bright on black, as the network sees it.
        captions: b names; what does not fit is cut.
    """
    b, height, width = images.shape
    cell = max(height, 64) + LINE, max(width, 64)
    rows = -(-b // columns)
    page = Image.new("L", (columns * cell[1], rows * cell[0]))
    pen = ImageDraw.Draw(page)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = place // columns * cell[0], place % columns * cell[1]
        page.paste(Image.fromarray(image), (left, top))
        pen.text((left + 2, top + cell[0] - LINE), caption[: cell[1] // 6], fill=160)
    page.save(path)
