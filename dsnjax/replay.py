"""Figures of the last steps in; where one is no number, a file with the batch that made it so.

The batch of a step is a pure function of (seed, step), so what is written names all there is to
run it again: see docs/scale.md.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dsnjax.data.store import Store


class Watch:
    """Remembers a loss and a gradient's norm for each step, until they are looked at."""

    def __init__(self):
        self._steps: list[tuple[int, jax.Array, jax.Array]] = []

    def add(self, step: int, figures: dict[str, jax.Array]) -> None:
        """Takes note of a step without waiting for the devices."""
        self._steps.append((step, figures["loss"], figures["gradient"]))

    def first_bad(self) -> tuple[int, str] | None:
        """The first step since the last look with a figure that is no number, and which one."""
        steps, self._steps = self._steps, []
        for step, *figures in jax.device_get(steps):
            for name, value in zip(("loss", "gradient"), map(float, figures), strict=True):
                if not math.isfinite(value):
                    return int(step), f"the {name} is {value}"
        return None


@jax.jit
def sound(state: Any) -> jax.Array:
    """Whether all of a state's floats are numbers: a last update may break them behind a good
    loss."""
    floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in floats]))


def write(path: Path, store: Store, rows: Sequence[int] | np.ndarray) -> None:
    """Drawings of a store as rows of simplified ndjson, each with its row in the store."""
    packed = store.take(np.asarray(rows))
    with path.open("w", encoding="utf-8") as file:
        for row, drawing in zip(rows, packed.unpack(), strict=True):
            about = {"word": store.categories[store.label[row]], "row": int(row)}
            if key_id := int(store.key_id[row]):
                about["key_id"] = str(key_id)
            file.write(json.dumps(about | {"drawing": drawing}) + "\n")
