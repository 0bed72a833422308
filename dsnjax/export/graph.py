"""Operations and weights in, the nodes of an ONNX graph out, in the order in which they run."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from dsnjax import bundle
from dsnjax.export.about import Precision

FEW = 1024  # weights of an array that is kept as float32: small ones cost nothing and matter


class Graph:
    """An ONNX graph that grows node by node; tensors go by the names that `node` gives.

    Args:
        weights: arrays by the path of their module, such as `cnn/stem/kernel`.
        precision: how the large ones are stored. All nodes compute in float32: what is stored
            otherwise is widened first, which every runtime does once, when it loads the graph.
    """

    def __init__(self, weights: dict[str, np.ndarray], precision: Precision):
        self.weights, self.precision = weights, precision
        self.nodes: list[Any] = []
        self.stored: dict[str, Any] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output, and gives its name. An input not used is ''."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def named(self, name: str, tensor: str) -> None:
        """Makes a tensor an output of that name."""
        self.nodes.append(helper.make_node("Identity", [tensor], [name], name))

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """A number or a short list; the same one is kept once."""
        array = np.asarray(values, dtype)
        text = "_".join(map(str, array.reshape(-1).tolist()))
        return self._keep(f"{array.dtype}_{array.ndim}_{text}", array)

    def weight(self, name: str, array: np.ndarray, over: tuple[int, ...] = ()) -> str:
        """An array of weights as a float32 tensor, stored in the graph's precision.

        Args:
            over: axes of the inputs, over which int8 has one scale; none keeps float32.
        """
        array = np.ascontiguousarray(array, np.float32)
        if self.precision == "float32" or not over or array.size < FEW:
            return self._keep(name, array)
        if self.precision == "float16":
            half = bundle.halved(name, array, "export it in float32")
            return self.cast(self._keep(name, half))
        scale = np.maximum(np.abs(array).max(axis=over, keepdims=True), 1e-12) / 127
        whole = self._keep(name, np.rint(array / scale).astype(np.int8))
        return self.node("Mul", self.cast(whole), self._keep(f"{name}/scale", scale))

    def cast(self, tensor: str, to: int = TensorProto.FLOAT) -> str:
        """The tensor as another type."""
        return self.node("Cast", tensor, to=to)

    def reshape(self, tensor: str, *shape: int) -> str:
        """The tensor in another shape; 0 keeps an axis, -1 takes what is left."""
        return self.node("Reshape", tensor, self.constant(shape, np.int64))

    def transpose(self, tensor: str, *axes: int) -> str:
        return self.node("Transpose", tensor, perm=axes)

    def unsqueeze(self, tensor: str, axis: int) -> str:
        return self.node("Unsqueeze", tensor, self.constant([axis], np.int64))

    def sum(self, tensor: str, axis: int) -> str:
        """Sums over an axis, which is gone then."""
        return self.node("ReduceSum", tensor, self.constant([axis], np.int64), keepdims=0)

    def slice(self, tensor: str, axis: int, start: int, stop: int) -> str:
        bounds = (self.constant([one], np.int64) for one in (start, stop, axis))
        return self.node("Slice", tensor, *bounds)

    def finished(self, inputs: list[Any], outputs: list[Any]) -> Any:
        """The GraphProto, with descriptions of what goes in and comes out."""
        return helper.make_graph(
            self.nodes, "dsnjax", inputs, outputs, initializer=list(self.stored.values())
        )

    def _keep(self, name: str, array: np.ndarray) -> str:
        if name not in self.stored:
            self.stored[name] = numpy_helper.from_array(array, name)
        return name
