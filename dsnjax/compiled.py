"""A bundle in, what its network says of drawings out, computed by jax on the devices it finds."""

import jax
import numpy as np

import raster
from dsnjax import bundle, calibration, state
from dsnjax.data.inputs import inputs

BATCH = 64  # images and what a network makes of them fit a core's cache: 256 take a third longer


class Compiled:
    """A network that jax has compiled, for Recognizer and to compare exports with."""

    def __init__(self, model: bundle.Bundle):
        self._data, self._temperature = model.recipe.data, model.recipe.temperature
        self._categories = len(model.categories)
        apply, params, statistics = network(model).apply, model.params, model.statistics
        self._logits = jax.jit(
            lambda batch: apply(params, statistics, batch, train=False)[0].logits
        )

    def logits(self, packed: raster.Packed) -> np.ndarray:
        """What the network says before the softmax, float32 [b, k]."""
        parts = [np.zeros((0, self._categories), np.float32)]
        size = BATCH if len(packed) > 16 else 16
        for start in range(0, len(packed), BATCH):
            # A last batch of any length would compile once more: its last drawing comes again.
            rows = np.arange(start, start + size).clip(max=len(packed) - 1)
            parts.append(np.asarray(self._logits(inputs(packed.take(rows), self._data))))
        return np.concatenate(parts)[: len(packed)]

    def probabilities(self, packed: raster.Packed) -> np.ndarray:
        """Probability of each category, float32 [b, k], of drawings as coordinates 0..255."""
        return calibration.softmax(self.logits(packed) / self._temperature).astype(np.float32)


def network(model: bundle.Bundle) -> state.Network:
    """The network of a bundle, to compute in float32 whatever it was trained in."""
    recipe = model.recipe
    exact = recipe.model.model_copy(update={"dtype": "float32"})
    return state.network(exact, recipe.data, len(model.categories))
