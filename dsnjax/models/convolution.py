"""Convolutions over images whose gradient to the weights is a matrix product on a CPU."""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

ROWS = 1024  # of a matrix of patches: with 500 columns it fits a core's cache


class Conv(nnx.Module):
    """[b, h, w, c] to [b, h / stride, w / stride, features], zero beyond the border.

    Each output sees `side` x `side` pixels; with `groups`, of its own share of the inputs only.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        side: int = 3,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        rngs: nnx.Rngs,
    ):
        he = nnx.initializers.he_normal()
        self.stride, self.groups = stride, groups
        self.kernel = nnx.Param(he(rngs.params(), (side, side, inputs // groups, features)))
        self.bias = nnx.Param(jnp.zeros(features)) if bias else None

    def __call__(self, x: Array) -> Array:
        x = convolve(x, self.kernel[...], self.stride, self.groups)
        return x if self.bias is None else x + self.bias[...]


def pointwise(inputs: int, features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A 1x1 convolution as a matrix product, which is faster on a CPU (kernel [c, features])."""
    he = nnx.initializers.he_normal()
    return nnx.Linear(inputs, features, use_bias=False, kernel_init=he, rngs=rngs)


def squares(image: Array, side: int) -> Array:
    """[b, h, w, c] to [b, h / side, w / side, side * side * c].

    A first convolution over one channel is slow on every device: its inner product has nine
    terms. Over squares it has as many as any other.
    """
    b, h, w, c = image.shape
    x = image.reshape(b, h // side, side, w // side, side, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // side, w // side, side * side * c)


@jax.checkpoint  # its six maxima are cheaper made again than kept
def max_pool(x: Array) -> Array:
    """Greatest of each 3x3 pixels, at every second one: [b, h, w, c] to [b, h / 2, w / 2, c].

    As maxima of shifted images: XLA's CPU backend takes the gradient of a window's maximum one
    pixel at a time. Beyond the border stands zero, the least there is behind a relu.
    """
    for axis in (1, 2):
        count = -(-x.shape[axis] // 2)
        pad = [(0, 0)] * x.ndim
        pad[axis] = (1, 1)
        padded = jnp.pad(x, pad)
        shifted = [
            jax.lax.slice_in_dim(padded, start, start + 2 * count - 1, 2, axis)
            for start in range(3)
        ]
        x = reduce(jnp.maximum, shifted)
    return x


def _plain(x: Array, kernel: Array, stride: int, groups: int) -> Array:
    pad = len(kernel) // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _to_kernel(x: Array, kernel: Array, slope: Array, stride: int, groups: int) -> Array:
    """The gradient to the kernel as XLA has it."""
    return jax.linear_transpose(lambda k: _plain(x, k, stride, groups), kernel)(slope)[0]


def _to_kernel_by_patches(x: Array, kernel: Array, slope: Array, stride: int) -> Array:
    """The same sum as a matrix product of patches and slopes, a few drawings at a time.

    XLA's CPU backend convolves with the slopes as one huge window, two to five times slower
    than this (benchmarks/bench_train_step.py).
    """
    b, height, width, features = slope.shape
    side, inputs = len(kernel), x.shape[-1]
    few = max(1, ROWS // (height * width))
    while b % few:
        few -= 1
    pad = side // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    down, across = stride * (height - 1) + 1, stride * (width - 1) + 1

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        image, slope = part
        patches = [
            image[:, i : i + down : stride, j : j + across : stride]
            for i in range(side)
            for j in range(side)
        ]
        columns = jnp.concatenate(patches, axis=-1).reshape(-1, side * side * inputs)
        slope = slope.reshape(-1, features)
        return total + jnp.matmul(columns.T, slope, preferred_element_type=jnp.float32), None

    parts = (x.reshape(-1, few, *x.shape[1:]), slope.reshape(-1, few, *slope.shape[1:]))
    total, _ = jax.lax.scan(add, jnp.zeros((side * side * inputs, features)), parts)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _forward(x: Array, kernel: Array, stride: int, groups: int):
    return _plain(x, kernel, stride, groups), (x, kernel)


def _backward(
    stride: int, groups: int, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    (to_x,) = jax.linear_transpose(lambda x: _plain(x, kernel, stride, groups), x)(slope)
    default = partial(_to_kernel, stride=stride, groups=groups)
    cpu = partial(_to_kernel_by_patches, stride=stride) if groups == 1 else default
    to_kernel = jax.lax.platform_dependent(x, kernel, slope, cpu=cpu, default=default)
    return to_x, to_kernel


convolve = jax.custom_vjp(_plain, nondiff_argnums=(2, 3))
convolve.defvjp(_forward, _backward)
