"""Files of drawings in, a picture of each out, or one sheet of all."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from PIL import Image

import raster
from dsnjax import pictures
from dsnjax.data import files, formats
from dsnjax.errors import DataError, UserError

Kind = Literal["png", "svg"]


def draw(
    sources: Iterable[str], dest: Path, kind: Kind, size: int, *, fit: bool = False
) -> tuple[int, int]:
    """Writes pictures and gives how many, and how many rows could not be read.

    Args:
        dest: a folder for `key_id.png`, or the row's number where it has no key_id; or a name that
            ends in .png, for one sheet of all drawings.
        kind: png as a network is shown it, grey telling the order of strokes; svg true to strokes.
        size: height and width in pixels.

    Raises:
        DataError: no row that can be read. UserError: a sheet was asked for as svg.
    """
    sheet = dest.suffix == ".png"
    if sheet and kind != "png":
        raise UserError(f"--dest {dest}: a sheet is a png; name a folder for {kind}")
    rows = list(enumerate(formats.read(sources, fit=fit), 1))
    good = [(number, row) for number, row in rows if isinstance(row, formats.Drawing)]
    if not good:
        raise DataError(f"draw: {rows[0][1] if rows else 'no row to draw'}")
    thickness = max(1.0, size / 48)
    counts = len(good), len(rows) - len(good)
    drawings = [row.drawing for _, row in good]
    names = [row.word or str(row.key_id or number) for number, row in good]
    if sheet:
        dest.parent.mkdir(parents=True, exist_ok=True)
        images = raster.render(raster.pack(drawings), size, thickness)
        pictures.sheet(images, names, dest)
        return counts
    dest.mkdir(parents=True, exist_ok=True)
    for number, row in good:
        with files.whole(dest / f"{row.key_id or number}.{kind}", sync=False) as file:
            if kind == "svg":
                file.write(pictures.svg(row.drawing, size, thickness).encode())
            else:
                image = raster.render(raster.pack([row.drawing]), size, thickness)[0]
                Image.fromarray(image).save(file, "png")
    return counts
