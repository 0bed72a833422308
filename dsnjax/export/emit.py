"""Modules of a network in, their nodes of an ONNX graph out: one function for each module.

Each stands for the module of its name in dsnjax.models, in evaluation: batch norm is folded into
the convolution before it, dropout is gone. `name` is the module's path among the weights. Images
are [b, c, h, w] here, as ONNX has them; tokens are [b, n, d] as everywhere.
"""

from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from dsnjax import config
from dsnjax.export.graph import Graph

LAYER_NORM_EPSILON = 1e-6  # flax's own


class Tokens(NamedTuple):
    """Tokens [b, n, d]; of the RNN's also the mask [b, n] as numbers, and lengths [b] int64."""

    values: str
    mask: str = ""
    length: str = ""


class Said(NamedTuple):
    """Logits [b, k], and what the network looked at, if it weighs anything."""

    logits: str
    attention: str = ""  # [b, n + t], of tokens, the mean of the heads
    branches: str = ""  # [b, 2], of the CNN's and the RNN's logits


def network(graph: Graph, model: config.Model, data: config.Data) -> Said:
    """The whole network over the inputs `image`, `points` and `length`."""
    cnn = rnn = None
    if model.branches != "rnn":
        cnn = (plain if model.cnn.block == "plain" else resnet)(graph, model.cnn, data)
    if model.branches != "cnn":
        rnn = recurrent_branch(graph, model.rnn)
    if cnn and rnn and model.fusion == "tokens":
        return dsn(graph, model, cnn, rnn)
    return vote(graph, model, cnn, rnn)


def dsn(graph: Graph, model: config.Model, cnn: Tokens, rnn: Tokens) -> Said:
    grid, steps = (
        layer_norm(graph, f"{branch}_norm", linear(graph, f"{branch}_token", tokens.values))
        for branch, tokens in (("cnn", cnn), ("rnn", rnn))
    )
    # Ones in the shape of the grid's first two axes, whose batch is known only when it runs.
    shape = graph.node("Shape", grid, end=2)
    seen = graph.node("Expand", graph.constant(1.0), shape)
    tokens = graph.node("Concat", grid, steps, axis=1)
    mask = graph.node("Concat", seen, rnn.mask, axis=1)
    feature, weights = attention_pool(graph, "pool", Tokens(tokens, mask), model.heads)
    mean = graph.node("ReduceMean", weights, axes=[2], keepdims=0)
    return Said(linear(graph, "head", feature), attention=mean)


def vote(graph: Graph, model: config.Model, cnn: Tokens | None, rnn: Tokens | None) -> Said:
    logits = []
    if cnn:
        mean = graph.node("ReduceMean", cnn.values, axes=[1], keepdims=0)
        logits.append(linear(graph, "cnn_head", mean))
    if rnn:
        logits.append(linear(graph, "rnn_head", pooled(graph, model.rnn, rnn)))
    if len(logits) == 1:
        return Said(logits[0])
    stacked = graph.node("Concat", *(graph.unsqueeze(one, 1) for one in logits), axis=1)
    said = graph.node("LogSoftmax", stacked, axis=-1)  # [b, 2, k]
    weights = graph.node("Softmax", linear(graph, "score", said), axis=1)  # [b, 2, 1]
    summed = graph.sum(graph.node("Mul", weights, said), 1)
    return Said(summed, branches=graph.reshape(weights, 0, 2))


def squares(graph: Graph, side: int, data: config.Data) -> str:
    """The image [b, h, w, c], 0..255, as [b, side * side * c, h / side, w / side], 0..1."""
    count, channels = data.image_size // side, len(data.levels)
    # Bytes are moved before they are widened, and a product is ten times faster than a quotient.
    x = graph.reshape("image", 0, count, side, count, side, channels)
    x = graph.transpose(x, 0, 2, 4, 5, 1, 3)
    x = graph.reshape(x, 0, side * side * channels, count, count)
    return graph.node("Mul", graph.cast(x), graph.constant(1 / 255))


def plain(graph: Graph, size: config.CNN, data: config.Data) -> Tokens:
    x, number = squares(graph, size.stem, data), 0
    for stage, count in enumerate(size.blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            x = convolution(graph, f"cnn/convolutions/{number}", x, stride=stride)
            x, number = graph.node("Relu", x), number + 1
        x = max_pool(graph, x) if stage else x
    x = graph.transpose(x, 0, 2, 3, 1)
    if size.dense:
        x = linear(graph, "cnn/dense", graph.node("Flatten", x, axis=1))
        return Tokens(graph.unsqueeze(graph.node("Relu", x), 1))
    return Tokens(graph.reshape(x, 0, -1, size.widths[-1]))


def resnet(graph: Graph, size: config.CNN, data: config.Data) -> Tokens:
    stride = 1 if size.stem else 2
    x = squares(graph, size.stem or 1, data)
    x = convolution(graph, "cnn/stem", x, stride=stride, norm="cnn/stem_norm")
    x = graph.node("Relu", x)
    x = x if size.stem else max_pool(graph, x)
    side = data.image_size // size.stem if size.stem else -(-data.image_size // 4)
    block = {"light": light, "basic": basic, "bottleneck": bottleneck}[size.block]
    number = 0
    for stage, count in enumerate(size.blocks):
        for one in range(count):
            stride = 2 if stage and not one else 1
            x = block(graph, f"cnn/blocks/{number}", x, size, (stride, side))
            side, number = -(-side // stride), number + 1
    features = size.widths[-1] * (4 if size.block == "bottleneck" else 1)
    return Tokens(graph.reshape(graph.transpose(x, 0, 2, 3, 1), 0, -1, features))


def light(graph: Graph, name: str, x: str, size: config.CNN, shape: tuple[int, int]) -> str:
    stride, side = shape
    y = two_convolutions(graph, name, x, size, stride)
    if stride > 1:
        end = -side % stride  # an odd side has half a square of zeros at its end
        pads = [0, 0, end, end]
        form = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        x = graph.node("AveragePool", x, **form, pads=pads, count_include_pad=1)
    if f"{name}/shortcut/kernel" in graph.weights:
        x = convolution(graph, f"{name}/shortcut", x)
    return graph.node("Relu", graph.node("Add", y, x))


def basic(graph: Graph, name: str, x: str, size: config.CNN, shape: tuple[int, int]) -> str:
    y = two_convolutions(graph, name, x, size, shape[0])
    return graph.node("Relu", graph.node("Add", y, shortcut(graph, name, x, shape[0])))


def bottleneck(graph: Graph, name: str, x: str, size: config.CNN, shape: tuple[int, int]) -> str:
    parts = {"first": (1, 1), "second": (shape[0], size.groups), "third": (1, 1)}
    y = x
    for part, (stride, groups) in parts.items():
        norm = f"{name}/{part}_norm"
        y = convolution(graph, f"{name}/{part}", y, stride=stride, groups=groups, norm=norm)
        y = graph.node("Relu", y) if part != "third" else y
    y = squeeze(graph, f"{name}/squeeze", y) if size.squeeze else y
    return graph.node("Relu", graph.node("Add", y, shortcut(graph, name, x, shape[0])))


def two_convolutions(graph: Graph, name: str, x: str, size: config.CNN, stride: int) -> str:
    y = convolution(graph, f"{name}/first", x, stride=stride, norm=f"{name}/first_norm")
    y = convolution(graph, f"{name}/second", graph.node("Relu", y), norm=f"{name}/second_norm")
    return squeeze(graph, f"{name}/squeeze", y) if size.squeeze else y


def shortcut(graph: Graph, name: str, x: str, stride: int) -> str:
    name = f"{name}/shortcut"
    if f"{name}/project/kernel" not in graph.weights:
        return x
    return convolution(graph, f"{name}/project", x, stride=stride, norm=f"{name}/norm")


def squeeze(graph: Graph, name: str, x: str) -> str:
    seen = convolution(graph, f"{name}/narrow", graph.node("GlobalAveragePool", x))
    scale = convolution(graph, f"{name}/wide", graph.node("Relu", seen))
    return graph.node("Mul", x, graph.node("Sigmoid", scale))


def convolution(
    graph: Graph, name: str, x: str, *, stride: int = 1, groups: int = 1, norm: str = ""
) -> str:
    """A convolution, or a matrix for every pixel, with the batch norm behind it folded in."""
    kernel = graph.weights[f"{name}/kernel"]
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]  # [side, side, c, features]
    bias = graph.weights.get(f"{name}/bias", np.zeros(kernel.shape[-1], np.float32))
    if norm:
        scale, offset, mean, var = (
            graph.weights[f"{norm}/{part}"] for part in ("scale", "bias", "mean", "var")
        )
        slope = scale / np.sqrt(var + config.BATCH_NORM_EPSILON)
        kernel, bias = kernel * slope, (bias - mean) * slope + offset
    inputs = (
        graph.weight(f"{name}/kernel", kernel.transpose(3, 2, 0, 1), over=(1, 2, 3)),
        graph.weight(f"{name}/bias", bias),
    )
    pads = [len(kernel) // 2] * 4
    return graph.node("Conv", x, *inputs, strides=[stride] * 2, pads=pads, group=groups)


def max_pool(graph: Graph, x: str) -> str:
    return graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)


def recurrent_branch(graph: Graph, size: config.RNN) -> Tokens:
    """The module RNN."""
    x = graph.transpose("points", 0, 2, 1)  # [b, 3, t]
    length, mask = graph.cast("length", TensorProto.INT64), ""
    for number, (kernel, stride) in enumerate(zip(size.kernels, size.strides, strict=True)):
        name = f"rnn/convolutions/{number}"
        weights = graph.weights[f"{name}/kernel"].transpose(2, 1, 0)  # [features, c, points]
        inputs = (
            graph.weight(f"{name}/kernel", weights, over=(1, 2)),
            graph.weight(f"{name}/bias", graph.weights[f"{name}/bias"]),
        )
        x = graph.node("Conv", x, *inputs, strides=[stride], pads=[(kernel - 1) // 2, kernel // 2])
        x = graph.node("Relu", x) if size.activation == "relu" else x
        if stride > 1:
            length = graph.node("Add", length, graph.constant(stride - 1, np.int64))
            length = graph.node("Div", length, graph.constant(stride, np.int64))
        mask = mask_of(graph, graph.node("Shape", x, start=2), length)
        x = graph.node("Mul", x, graph.unsqueeze(mask, 1))
    x = graph.transpose(x, 2, 0, 1)  # [t, b, d]
    steps = graph.node("Min", length, graph.node("Shape", x, end=1))
    steps = graph.cast(steps, TensorProto.INT32)
    names = [f"rnn/{size.cell}", *(f"rnn/above/{one}" for one in range(size.layers - 1))]
    for name in names:
        x = recurrent(graph, name, size, x, steps)
    return Tokens(graph.transpose(x, 1, 0, 2), mask, length)


def mask_of(graph: Graph, count: str, length: str) -> str:
    """[b, t] float32, 1 for a real step; `count` is [1], how many steps there are."""
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    places = graph.node("Range", zero, graph.node("Squeeze", count), one)
    return graph.cast(graph.node("Less", places, graph.unsqueeze(length, 1)))


def recurrent(graph: Graph, name: str, size: config.RNN, x: str, steps: str) -> str:
    """A layer of LSTM or GRU over [t, b, d], in the order of gates that ONNX has."""
    kernel, recurrent, bias = (
        graph.weights[f"{name}/{part}"] for part in ("kernel", "recurrent", "bias")
    )
    gates, extra = ((0, 3, 1, 2), {}) if size.cell == "lstm" else ((1, 0, 2), GRU_FORM)
    hidden, directions = size.hidden, len(kernel)

    def ordered(array: np.ndarray) -> np.ndarray:  # [directions, d, gates] to [.., gates, d]
        parts = np.split(array, len(gates), axis=2)
        return np.concatenate([parts[gate] for gate in gates], axis=2).transpose(0, 2, 1)

    given = ordered(bias[:, None, : len(gates) * hidden])[..., 0]
    other = np.zeros_like(given)  # what the state's products are given
    if size.cell == "gru":
        other[:, 2 * hidden :] = bias[:, 3 * hidden :]
    inputs = (
        graph.weight(f"{name}/kernel", ordered(kernel), over=(2,)),
        graph.weight(f"{name}/recurrent", ordered(recurrent), over=(2,)),
        graph.weight(f"{name}/bias", np.concatenate([given, other], axis=1)),
    )
    direction = "bidirectional" if directions == 2 else "forward"
    form = {"hidden_size": hidden, "direction": direction, **extra}
    y = graph.node(size.cell.upper(), x, *inputs, steps, **form)  # [t, directions, b, hidden]
    return graph.reshape(graph.transpose(y, 0, 2, 1, 3), 0, 0, directions * hidden)


GRU_FORM = {"linear_before_reset": 1}


def pooled(graph: Graph, size: config.RNN, tokens: Tokens) -> str:
    """RNN.pooled."""
    if size.pool == "attention":
        return attention_pool(graph, "rnn/pool", tokens, 1)[0]
    if size.pool == "last":
        return last(graph, size, tokens)
    total = graph.sum(tokens.values, 1)  # zero where the mask is
    if size.pool == "sum":
        return total
    count = graph.node("Max", graph.sum(tokens.mask, 1), graph.constant(1.0))
    return graph.node("Div", total, graph.unsqueeze(count, 1))


def last(graph: Graph, size: config.RNN, tokens: Tokens) -> str:
    """The state after the last point; of the second direction, that at the first."""
    count = graph.node("Shape", tokens.values, start=1, end=2)
    before = graph.node("Sub", tokens.length, graph.constant(1, np.int64))
    end = graph.node("Sub", tokens.mask, mask_of(graph, count, before))
    x = graph.sum(graph.node("Mul", tokens.values, graph.unsqueeze(end, 2)), 1)
    if not size.bidirectional:
        return x
    first = graph.sum(graph.slice(tokens.values, 1, 0, 1), 1)
    forward = graph.slice(x, 1, 0, size.hidden)
    return graph.node("Concat", forward, graph.slice(first, 1, size.hidden, 2**31), axis=1)


def attention_pool(graph: Graph, name: str, tokens: Tokens, heads: int) -> tuple[str, str]:
    """Feature [b, d] and weights [b, n, heads]."""
    hidden = graph.node("Tanh", linear(graph, f"{name}/hidden", tokens.values))
    score = linear(graph, f"{name}/score", hidden)  # [b, n, heads]
    mask = graph.unsqueeze(tokens.mask, 2)
    shown = graph.node("Greater", mask, graph.constant(0.0))
    weights = graph.node("Where", shown, score, graph.constant(-1e9))
    weights = graph.node("Mul", graph.node("Softmax", weights, axis=1), mask)
    features = graph.weights[f"{name}/hidden/kernel"].shape[0]
    parts = graph.reshape(tokens.values, 0, 0, heads, features // heads)
    parts = graph.transpose(parts, 0, 2, 1, 3)  # [b, heads, n, d / heads]
    ways = graph.unsqueeze(graph.transpose(weights, 0, 2, 1), 2)  # [b, heads, 1, n]
    return graph.reshape(graph.node("MatMul", ways, parts), 0, features), weights


def linear(graph: Graph, name: str, x: str) -> str:
    kernel = graph.weight(f"{name}/kernel", graph.weights[f"{name}/kernel"], over=(0,))
    x = graph.node("MatMul", x, kernel)
    if f"{name}/bias" not in graph.weights:
        return x
    return graph.node("Add", x, graph.weight(f"{name}/bias", graph.weights[f"{name}/bias"]))


def layer_norm(graph: Graph, name: str, x: str) -> str:
    inputs = (graph.weight(f"{name}/{part}", graph.weights[f"{name}/{part}"]) for part in NORM)
    return graph.node("LayerNormalization", x, *inputs, axis=-1, epsilon=LAYER_NORM_EPSILON)


NORM = ("scale", "bias")
