"""Drawings in, the names of what is drawn out: what all that run a network have in common."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import raster
from dsnjax.errors import UserError

UNKNOWN = "unknown"


class Naming:
    """Whatever names drawings: a recognizer, or a session with an exported model.

    `probabilities(packed)` gives the probability of each category, float32 [b, k].
    """

    categories: tuple[str, ...]

    def probabilities(self, packed: raster.Packed) -> np.ndarray:
        raise NotImplementedError

    def predict(
        self,
        drawings: Iterable[Sequence],
        top: int = 3,
        *,
        fit: bool = False,
        min_probability: float = 0.0,
    ) -> list[list[dict[str, Any]]]:
        """The most probable categories of each drawing, the likeliest first.

        Args:
            drawings: each a list of strokes `[xs, ys]`, or `[xs, ys, ts]` with the time of each
                point, coordinates 0..255 as in the simplified files of Quick, Draw!.
            fit: scale and simplify each drawing first, as training drawings were; for coordinates
                of any other kind, such as pixels, y downwards.
            min_probability: a drawing whose likeliest category is below it is called "unknown",
                with that category's probability, and the categories follow.

        Returns:
            for each drawing `top` dicts of `category` and `probability`.

        Raises:
            UserError: a coordinate outside 0..255, without `fit`; a drawing without a stroke.
        """
        chances = self.probabilities(prepared(drawings, fit=fit))
        return [
            [{"category": category, "probability": probability} for category, probability in one]
            for one in named(chances, self.categories, top, min_probability)
        ]

    def predict_strokes(self, drawing: Sequence, top: int = 3) -> list[list[dict[str, Any]]]:
        """What is named after each stroke of one drawing, each time made to fit as a whole one."""
        return self.predict(unfinished(drawing), top, fit=True)


def named(
    probabilities: np.ndarray, categories: tuple[str, ...], top: int, min_probability: float = 0.0
) -> list[list[tuple[str, float]]]:
    """The `top` likeliest categories of each row [b, k], with their rounded probabilities.

    "unknown" with the likeliest one's probability comes before them where that is less than
    `min_probability`.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    best = probabilities[np.arange(len(order))[:, None], order].astype(float).round(4)
    names = [
        [(categories[label], probability) for label, probability in zip(labels, row, strict=True)]
        for labels, row in zip(order.tolist(), best.tolist(), strict=True)
    ]
    return [one if one[0][1] >= min_probability else [(UNKNOWN, one[0][1]), *one] for one in names]


def prepared(drawings: Iterable[Sequence], *, fit: bool) -> raster.Packed:
    """Drawings as a network reads them, coordinates 0..255. Raises UserError for others, and for
    one without a stroke."""
    if fit:
        packed = raster.pack(
            raster.simplify(drawing, times=all(len(stroke) == 3 for stroke in drawing))
            for drawing in drawings
        )
    else:
        packed = raster.pack(drawings)
    if not np.diff(packed.index[:, 1]).all():
        raise UserError("a drawing without a stroke; want at least one [xs, ys] in each")
    points = packed.points
    if points.dtype != np.uint8 and len(points) and not 0 <= points.min() <= points.max() <= 255:
        raise UserError(
            f"drawings with coordinates from {points.min():g} to {points.max():g}; want 0 to 255, "
            "or fit=True, which scales and simplifies each as training drawings were"
        )
    return packed


def unfinished(drawing: Sequence) -> list[Sequence]:
    """The drawing after each of its strokes."""
    return [drawing[:count] for count in range(1, len(drawing) + 1)]
