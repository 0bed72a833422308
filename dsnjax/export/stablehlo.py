"""A bundle in, one StableHLO file out that jax runs on CPUs and CUDA, without dsnjax.

    from jax import export

    model = export.deserialize(open("model.stablehlo", "rb").read())
    model.call(image, points, length)  # {"probabilities": [b, k], "logits": [b, k], ...}

image uint8 [b, size, size, c], points float32 [b, length, 3] and length int32 [b], for any b; what
the network does not read is given all the same. Outputs are those of dsnjax.export.onnx.
"""

from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

import raster
from dsnjax import bundle, compiled
from dsnjax.data.inputs import inputs

PLATFORMS = ("cpu", "cuda")
BATCH = 50


def build(model: bundle.Bundle) -> bytes:
    """The serialized file, weights inside, float32."""
    recipe = model.recipe
    network = compiled.network(model)

    def said(image, points, length) -> dict[str, jax.Array]:
        batch = {"image": image, "points": points, "length": length}
        output, _ = network.apply(model.params, model.statistics, batch, train=False)
        chances = jax.nn.softmax(output.logits / recipe.temperature)
        found = {"probabilities": chances, "logits": output.logits}
        if output.attention is not None and recipe.model.weighs_tokens:
            found["attention"] = jnp.mean(output.attention, axis=-1)
        elif output.attention is not None:
            found["branches"] = output.attention[..., 0]
        return found

    b, size = jax.export.symbolic_shape("b")[0], recipe.data.image_size
    shapes = (
        jax.ShapeDtypeStruct((b, size, size, len(recipe.data.levels)), jnp.uint8),
        jax.ShapeDtypeStruct((b, recipe.data.length, 3), jnp.float32),
        jax.ShapeDtypeStruct((b,), jnp.int32),
    )
    return bytes(jax.export.export(jax.jit(said), platforms=PLATFORMS)(*shapes).serialize())


class Program:
    """A StableHLO file that runs. `model` is the bundle that says how drawings are shown."""

    def __init__(self, serialized: bytes, model: bundle.Bundle):
        self._call: Any = jax.jit(jax.export.deserialize(bytearray(serialized)).call)
        self._data = model.recipe.data

    def logits(self, packed: raster.Packed) -> np.ndarray:
        """What the network says before the softmax, float32 [b, k]."""
        parts = []
        for start in range(0, len(packed), BATCH):
            rows = np.arange(start, start + BATCH).clip(max=len(packed) - 1)
            shown = inputs(packed.take(rows), self._data)
            found = self._call(shown["image"], shown["points"], shown["length"])
            parts.append(np.asarray(found["logits"]))
        return np.concatenate(parts)[: len(packed)]
