"""A drawing in, a small SVG of its strokes out, in the colour of the page's text."""

from collections.abc import Sequence

import numpy as np

from dsnjax import pictures
from dsnjax.report.page import Markup

Drawing = Sequence[Sequence[Sequence[float]]]

SIDE = 255
EDGE = 8  # half of the widest line, and a little air


def svg(drawing: Drawing, weight: Sequence[float] = (), grid: np.ndarray | None = None) -> Markup:
    """An inline `<svg>` that scales with its box.

    Args:
        drawing: strokes `[xs, ys]`, coordinates 0..255.
        weight: what each stroke weighs, 0..1; heavy ones are drawn in the accent colour.
        grid: [h, w] what places weigh, 0..1, laid under the strokes.
    """
    box = f"{-EDGE} {-EDGE} {SIDE + 2 * EDGE} {SIDE + 2 * EDGE}"
    parts = [f'<svg class="drawing" viewBox="{box}" role="img">']
    if grid is not None:
        parts += _cells(grid)
    paths = [pictures.path(stroke) for stroke in drawing]
    if len(weight):
        for path, own in zip(paths, weight, strict=True):
            parts.append(f'<path d="{path}"/>')
            parts.append(f'<path class="heat" style="opacity:{own:.2f}" d="{path}"/>')
    else:
        parts.append(f'<path d="{"".join(paths)}"/>')
    return Markup("".join([*parts, "</svg>"]))


def _cells(grid: np.ndarray) -> list[str]:
    height, width = (SIDE / count for count in grid.shape)
    return [
        f'<rect class="heat" x="{column * width:.1f}" y="{row * height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" style="opacity:{value * 0.6:.2f}"/>'
        for (row, column), value in np.ndenumerate(grid)
        if value > 0.02
    ]
