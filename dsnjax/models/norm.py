"""Features of a batch in, the same features at zero mean and unit variance out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax.config import BATCH_NORM_EPSILON

MOMENTUM = 0.9  # how much of the running statistics a batch leaves


class BatchNorm(nnx.Module):
    """Batch normalization (Ioffe and Szegedy 2015) over all axes but the last.

    Statistics are float32 whatever the features are. `scale` is where each feature's begins: a
    residual block whose last norm begins at zero begins as its shortcut (Goyal et al. 2017,
    section 5.1).
    """

    def __init__(self, features: int, *, scale: float = 1.0):
        self.scale = nnx.Param(jnp.full(features, scale, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))

    def __call__(self, x: Array, *, train: bool) -> Array:  # [..., d]
        wide = x.astype(jnp.float32)
        mean, var = self.mean[...], self.var[...]
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = jnp.mean(wide, axes)
            # Both moments in one pass over the features; rounding can leave less than nothing.
            var = jnp.maximum(jnp.mean(jnp.square(wide), axes) - jnp.square(mean), 0)
            for running, now in ((self.mean, mean), (self.var, var)):
                now = jax.lax.stop_gradient(now)
                running[...] = MOMENTUM * running[...] + (1 - MOMENTUM) * now
        slope = self.scale[...] * jax.lax.rsqrt(var + BATCH_NORM_EPSILON)
        return (wide * slope + (self.bias[...] - mean * slope)).astype(x.dtype)
