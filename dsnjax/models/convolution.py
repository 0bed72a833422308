"""3x3 convolution whose gradient to the weights is a matrix product on a CPU."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

ROWS = 1024  # of a matrix of patches: with 500 columns it fits a core's cache


class Conv3x3(nnx.Module):
    """[b, h, w, c] to [b, h / stride, w / stride, features], zero beyond the border."""

    def __init__(self, inputs: int, features: int, stride: int = 1, *, rngs: nnx.Rngs):
        he = nnx.initializers.he_normal()
        self.stride = stride
        self.kernel = nnx.Param(he(rngs.params(), (3, 3, inputs, features)))

    def __call__(self, x: Array) -> Array:
        return convolve(x, self.kernel[...], self.stride)


def _plain(x: Array, kernel: Array, stride: int) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _to_kernel(x: Array, kernel: Array, slope: Array, stride: int) -> Array:
    """The gradient to the kernel as XLA has it."""
    return jax.linear_transpose(lambda k: _plain(x, k, stride), kernel)(slope)[0]


def _to_kernel_by_patches(x: Array, kernel: Array, slope: Array, stride: int) -> Array:
    """The same sum as a matrix product of patches and slopes, a few drawings at a time.

    XLA's CPU backend convolves with the slopes as one huge window, two to five times slower
    than this (benchmarks/bench_train_step.py).
    """
    b, height, width, features = slope.shape
    inputs = x.shape[-1]
    few = max(1, ROWS // (height * width))
    while b % few:
        few -= 1
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    down, across = stride * (height - 1) + 1, stride * (width - 1) + 1

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        image, slope = part
        patches = [
            image[:, i : i + down : stride, j : j + across : stride]
            for i in range(3)
            for j in range(3)
        ]
        columns = jnp.concatenate(patches, axis=-1).reshape(-1, 9 * inputs)
        return total + columns.T @ slope.reshape(-1, features), None

    parts = (x.reshape(-1, few, *x.shape[1:]), slope.reshape(-1, few, *slope.shape[1:]))
    total, _ = jax.lax.scan(add, jnp.zeros((9 * inputs, features), slope.dtype), parts)
    return total.reshape(kernel.shape)


def _forward(x: Array, kernel: Array, stride: int):
    return _plain(x, kernel, stride), (x, kernel)


def _backward(stride: int, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    x, kernel = kept
    (to_x,) = jax.linear_transpose(lambda x: _plain(x, kernel, stride), x)(slope)
    to_kernel = jax.lax.platform_dependent(
        x,
        kernel,
        slope,
        cpu=partial(_to_kernel_by_patches, stride=stride),
        default=partial(_to_kernel, stride=stride),
    )
    return to_x, to_kernel


convolve = jax.custom_vjp(_plain, nondiff_argnums=(2,))
convolve.defvjp(_forward, _backward)
