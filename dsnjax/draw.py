"""Files of drawings in, a picture of each out, or one sheet of all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

import raster
from dsnjax import files, pictures
from dsnjax.data import formats
from dsnjax.errors import DataError, UserError

Kind = Literal["png", "svg"]


def draw(
    sources: Iterable[str], dest: Path, kind: Kind, size: int, *, fit: bool = False
) -> tuple[int, int]:
    """Writes pictures and gives how many, and how many rows could not be read.

    Args:
        dest: a folder for `key_id.png`, or the row's number where it has no key_id, with `-2`, `-3`
            ... where that name is taken; or a name that ends in .png, for one sheet of all.
        kind: png as a network is shown it, grey telling the order of strokes; svg true to strokes.
        size: height and width in pixels.

    Raises DataError where no row can be read, UserError for a sheet as svg or of too many drawings.
    """
    sheet = dest.suffix == ".png"
    if sheet and kind != "png":
        raise UserError(f"--dest {dest}: a sheet is a png; name a folder for {kind}")
    first, bad = "no row to draw", 0
    taken, shown = Counter[str](), list[tuple[str, Sequence]]()
    for number, row in enumerate(formats.read(sources, fit=fit), 1):
        if isinstance(row, formats.Reject):
            first, bad = first if bad else str(row), bad + 1
            continue
        name = str(row.key_id or number)
        taken[name] += 1
        if sheet:
            shown.append((row.word or name, row.drawing))
            _check_room(len(shown), dest, size)
        else:
            again = f"-{taken[name]}" if taken[name] > 1 else ""
            _write(row.drawing, dest / f"{name}{again}.{kind}", size)
    if not taken:
        raise DataError(f"draw: {first}")
    if sheet:
        captions, drawings = zip(*shown, strict=True)
        dest.parent.mkdir(parents=True, exist_ok=True)
        pictures.sheet(_images(drawings, size), captions, dest)
    return taken.total(), bad


def _check_room(count: int, dest: Path, size: int) -> None:
    if count > (most := pictures.most(size)):
        raise UserError(
            f"--dest {dest}: a sheet holds {most:,} drawings of --size {size}; give fewer, a "
            "smaller --size, or a folder"
        )


def _write(drawing: Sequence, path: Path, size: int) -> None:
    """One drawing's file, of the kind that its name ends in."""
    with files.whole(path, sync=False) as file:
        if path.suffix == ".svg":
            file.write(pictures.svg(drawing, size, _thickness(size)).encode())
        else:
            Image.fromarray(_images([drawing], size)[0]).save(file, "png")


def _images(drawings: Sequence, size: int) -> np.ndarray:
    return raster.render(raster.pack(drawings), size, _thickness(size))


def _thickness(size: int) -> float:
    return max(1.0, size / 48)
