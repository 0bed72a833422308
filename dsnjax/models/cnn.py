"""Image of a drawing in, a grid of tokens out: a residual network (He et al. 2015)."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.convolution import Conv3x3


class Residual(nnx.Module):
    """Two 3x3 convolutions beside a shortcut; halves height and width where `stride` is 2."""

    def __init__(self, inputs: int, features: int, stride: int, *, rngs: nnx.Rngs):
        self.stride = stride
        self.first = Conv3x3(inputs, features, stride, rngs=rngs)
        self.first_norm = nnx.BatchNorm(features, momentum=0.9, rngs=rngs)
        self.second = Conv3x3(features, features, rngs=rngs)
        # Starting at zero, a block begins as its shortcut (Goyal et al. 2017, section 5.1).
        zero = nnx.initializers.zeros_init()
        self.second_norm = nnx.BatchNorm(features, momentum=0.9, scale_init=zero, rngs=rngs)
        self.shortcut = nnx.Linear(inputs, features, rngs=rngs) if inputs != features else None

    def __call__(self, x: Array, *, train: bool) -> Array:  # [b, h, w, c]
        y = nnx.relu(self.first_norm(self.first(x), use_running_average=not train))
        y = self.second_norm(self.second(y), use_running_average=not train)
        if self.stride > 1:
            x = nnx.avg_pool(x, (self.stride,) * 2, (self.stride,) * 2, padding="SAME")
        return nnx.relu(y + (self.shortcut(x) if self.shortcut else x))


class CNN(nnx.Module):
    """Residual stages over squares of pixels; `features` are those of a token."""

    def __init__(self, size: config.CNN, *, rngs: nnx.Rngs):
        self.square = size.stem
        inputs = size.stem**2
        self.stem = Conv3x3(inputs, size.widths[0], rngs=rngs)
        self.stem_norm = nnx.BatchNorm(size.widths[0], momentum=0.9, rngs=rngs)
        blocks, inputs = [], size.widths[0]
        for stage, (width, count) in enumerate(zip(size.widths, size.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                blocks.append(Residual(inputs, width, stride, rngs=rngs))
                inputs = width
        self.blocks = nnx.List(blocks)
        self.features = inputs

    def __call__(self, image: Array, *, train: bool) -> Array:
        """Image [b, h, w, c], 0..255, to tokens [b, n, d], row by row."""
        x = squares(image.astype(jnp.float32) / 255, self.square)
        x = nnx.relu(self.stem_norm(self.stem(x), use_running_average=not train))
        for block in self.blocks:
            x = block(x, train=train)
        return x.reshape(x.shape[0], -1, x.shape[-1])


def squares(image: Array, side: int) -> Array:
    """[b, h, w, c] to [b, h / side, w / side, side * side * c].

    A first convolution over one channel is slow on every device: its inner product has nine
    terms. Over squares it has as many as any other.
    """
    b, h, w, c = image.shape
    x = image.reshape(b, h // side, side, w // side, side, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // side, w // side, side * side * c)
