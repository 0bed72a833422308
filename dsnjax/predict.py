"""Drawings in, the names of what is drawn and their probabilities out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

import raster
from dsnjax import bundle
from dsnjax.data import formats
from dsnjax.data.inputs import inputs
from dsnjax.naming import Naming

BATCH = 256


class Recognizer(Naming):
    """A trained network that names drawings.

    Args:
        model: a work directory, a bundle, or nothing for the model that ships with dsnjax.

    Raises:
        UserError: nothing usable lies there. CheckpointError: what lies there is damaged.
    """

    def __init__(self, model: Path | str | None = None):
        self.bundle = bundle.find(bundle.PRETRAINED if model is None else model)
        self.categories = self.bundle.categories
        network, params = self.bundle.network, self.bundle.params
        statistics, temperature = self.bundle.statistics, self.bundle.recipe.temperature

        @jax.jit
        def probabilities(batch):
            output, _ = network.apply(params, statistics, batch, train=False)
            return jax.nn.softmax(output.logits / temperature)

        self._probabilities = probabilities

    def probabilities(self, packed: raster.Packed) -> np.ndarray:
        """Probability of each category, float32 [b, k], of drawings as coordinates 0..255."""
        parts = []
        for start in range(0, len(packed), BATCH):
            # A last batch of any length would compile once more; an empty drawing costs less.
            rows = np.arange(start, min(start + BATCH, len(packed)))
            size = BATCH if len(packed) > 16 else 16
            filled = np.pad(rows, (0, size - len(rows)), mode="edge")
            batch = inputs(packed.take(filled), self.bundle.recipe.data)
            parts.append(np.asarray(self._probabilities(batch))[: len(rows)])
        return np.concatenate(parts) if parts else np.zeros((0, len(self.categories)), np.float32)


def rows(
    recognizer: Recognizer, files: Iterable[Path | str], top: int = 3
) -> Iterator[dict[str, Any]]:
    """One answer for every row of some ndjson files (`-`: standard input), in input order.

    Yields:
        `key_id` (None where a row has none) and `top`; for a row that cannot be used, `top` is
        empty and `error` says why and where.
    """
    read = formats.read(files)
    while chunk := list(islice(read, BATCH)):
        drawings = [row for row in chunk if isinstance(row, formats.Drawing)]
        named = iter(recognizer.predict([row.drawing for row in drawings], top))
        for row in chunk:
            if isinstance(row, formats.Drawing):
                yield {"key_id": str(row.key_id) if row.key_id else None, "top": next(named)}
            else:
                yield {"key_id": None, "top": [], "error": str(row)}
