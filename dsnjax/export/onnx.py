"""A bundle in, an ONNX model out that any runtime of opset 17 runs, in Python or in a browser.

Inputs, as far as the network reads them: `image` uint8 [b, size, size, c], `points` float32
[b, t, 3], `length` int32 [b], with b and t chosen at each run. Outputs: `probabilities` [b, k],
`logits` [b, k] and, of a network that weighs tokens, `attention` [b, n + t']: the image's cells row
by row, then the steps along the points; it sums to 1. A network that weighs its branches has
`branches` [b, 2] instead, the CNN's weight first. Metadata: see dsnjax.export.about.
"""

import json
from typing import Any

import numpy as np

from dsnjax import __version__, bundle, config
from dsnjax.errors import extra
from dsnjax.export.about import About, Precision

with extra("export", "ONNX"):
    import onnx
    from onnx import TensorProto, helper

    from dsnjax.export import emit
    from dsnjax.export.graph import Graph

OPSET, IR = 17, 8  # the newest that onnxruntime 1.14 and its web sibling read as well


def build(model: bundle.Bundle, precision: Precision = "float32") -> bytes:
    """The file of a bundle's model, checked."""
    weights = {
        name: np.asarray(array, np.float32)
        for part in (model.params, model.statistics)
        for name, array in part.items()
    }
    graph = Graph(weights, precision)
    recipe = model.recipe
    said = emit.network(graph, recipe.model, recipe.data)
    graph.named("logits", said.logits)
    scaled = graph.node("Div", said.logits, graph.constant(recipe.temperature))
    graph.named("probabilities", graph.node("Softmax", scaled, axis=-1))
    for name in ("attention", "branches"):
        if getattr(said, name):
            graph.named(name, getattr(said, name))
    made = helper.make_model(
        graph.finished(_inputs(recipe), _outputs(recipe.model, len(model.categories))),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="dsnjax",
        producer_version=__version__,
    )
    helper.set_model_props(made, _properties(About.of(model, precision)))
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def _inputs(recipe: bundle.Recipe) -> list[Any]:
    data, read = recipe.data, []
    if recipe.model.branches != "rnn":
        shape = ["b", data.image_size, data.image_size, len(data.levels)]
        read.append(helper.make_tensor_value_info("image", TensorProto.UINT8, shape))
    if recipe.model.branches != "cnn":
        read.append(helper.make_tensor_value_info("points", TensorProto.FLOAT, ["b", "t", 3]))
        read.append(helper.make_tensor_value_info("length", TensorProto.INT32, ["b"]))
    return read


def _outputs(model: config.Model, categories: int) -> list[Any]:
    shapes: dict[str, list] = {"probabilities": ["b", categories], "logits": ["b", categories]}
    if model.weighs_tokens:
        shapes["attention"] = ["b", "tokens"]
    elif model.branches == "both":
        shapes["branches"] = ["b", 2]
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]


def _properties(about: About) -> dict[str, str]:
    """Text as it is, everything else as JSON."""
    values = about.model_dump(mode="json")
    return {
        name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        for name, one in values.items()
    }
