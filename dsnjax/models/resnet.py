"""Image of a drawing in, a grid of tokens out: residual networks (He et al. 2015)."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.convolution import Conv, max_pool, pointwise, squares
from dsnjax.models.norm import BatchNorm

EXPANSION = 4  # a bottleneck gives four times its width


class Squeeze(nnx.Module):
    """Squeeze and excitation (Hu et al. 2018): features scaled by what the whole image shows."""

    def __init__(self, features: int, divisor: int, *, rngs: nnx.Rngs):
        self.narrow = nnx.Linear(features, features // divisor, rngs=rngs)
        self.wide = nnx.Linear(features // divisor, features, rngs=rngs)

    def __call__(self, x: Array) -> Array:  # [b, h, w, c]
        seen = jnp.mean(x, axis=(1, 2), keepdims=True)
        return x * nnx.sigmoid(self.wide(nnx.relu(self.narrow(seen))))


class Shortcut(nnx.Module):
    """What stands beside a block that resizes: every `stride`-th pixel, by a matrix, normed."""

    def __init__(self, inputs: int, features: int, stride: int, *, rngs: nnx.Rngs):
        self.stride = stride
        self.project = pointwise(inputs, features, rngs=rngs)
        self.norm = BatchNorm(features)

    def __call__(self, x: Array, *, train: bool) -> Array:
        return self.norm(self.project(x[:, :: self.stride, :: self.stride]), train=train)


class Basic(nnx.Module):
    """Two 3x3 convolutions beside a shortcut, as in ResNet-18 and 34."""

    def __init__(self, inputs: int, width: int, stride: int, size: config.CNN, *, rngs: nnx.Rngs):
        self.stride, self.features = stride, width
        self.first = Conv(inputs, width, stride=stride, rngs=rngs)
        self.first_norm = BatchNorm(width)
        self.second = Conv(width, width, rngs=rngs)
        self.second_norm = BatchNorm(width, scale=0.0)
        self.squeeze = Squeeze(width, size.squeeze, rngs=rngs) if size.squeeze else None
        self.shortcut = self.resizing(inputs, rngs)

    def resizing(self, inputs: int, rngs: nnx.Rngs) -> nnx.Module | None:
        """What brings the block's input to its output's size."""
        if self.stride == 1 and inputs == self.features:
            return None
        return Shortcut(inputs, self.features, self.stride, rngs=rngs)

    def beside(self, x: Array, train: bool) -> Array:
        return self.shortcut(x, train=train) if self.shortcut else x

    def __call__(self, x: Array, *, train: bool) -> Array:  # [b, h, w, c]
        y = nnx.relu(self.first_norm(self.first(x), train=train))
        y = self.second_norm(self.second(y), train=train)
        y = self.squeeze(y) if self.squeeze else y
        return nnx.relu(y + self.beside(x, train))


class Light(Basic):
    """As `Basic`, beside a shortcut of averages without a norm."""

    def resizing(self, inputs: int, rngs: nnx.Rngs) -> nnx.Module | None:
        return nnx.Linear(inputs, self.features, rngs=rngs) if inputs != self.features else None

    def beside(self, x: Array, train: bool) -> Array:
        if self.stride > 1:
            x = nnx.avg_pool(x, (self.stride,) * 2, (self.stride,) * 2, padding="SAME")
        return self.shortcut(x) if self.shortcut else x


class Bottleneck(nnx.Module):
    """3x3 convolution between two matrices beside a shortcut, as in ResNet-50 and 101.

    With `groups` the convolution is ResNeXt's (Xie et al. 2017). The stride is the convolution's,
    so that no pixel goes unseen.
    """

    def __init__(self, inputs: int, width: int, stride: int, size: config.CNN, *, rngs: nnx.Rngs):
        middle, features = size.middle * width, EXPANSION * width
        self.first = pointwise(inputs, middle, rngs=rngs)
        self.first_norm = BatchNorm(middle)
        self.second = Conv(middle, middle, stride=stride, groups=size.groups, rngs=rngs)
        self.second_norm = BatchNorm(middle)
        self.third = pointwise(middle, features, rngs=rngs)
        self.third_norm = BatchNorm(features, scale=0.0)
        self.squeeze = Squeeze(features, size.squeeze, rngs=rngs) if size.squeeze else None
        resized = stride > 1 or inputs != features
        self.shortcut = Shortcut(inputs, features, stride, rngs=rngs) if resized else None
        self.features = features

    def __call__(self, x: Array, *, train: bool) -> Array:  # [b, h, w, c]
        y = nnx.relu(self.first_norm(self.first(x), train=train))
        y = nnx.relu(self.second_norm(self.second(y), train=train))
        y = self.third_norm(self.third(y), train=train)
        y = self.squeeze(y) if self.squeeze else y
        return nnx.relu(y + (self.shortcut(x, train=train) if self.shortcut else x))


BLOCKS = {"light": Light, "basic": Basic, "bottleneck": Bottleneck}


class ResNet(nnx.Module):
    """A first convolution, then residual stages; `features` are those of a token.

    The first convolution is 3x3 over squares of pixels; or ResNet's own, 7x7 by a stride of 2
    with max pooling behind it, where `stem` is 0.
    """

    def __init__(self, size: config.CNN, channels: int, remat: bool, *, rngs: nnx.Rngs):
        self.square, self.remat = size.stem, remat
        if size.stem:
            self.stem = Conv(channels * size.stem**2, size.widths[0], rngs=rngs)
        else:
            self.stem = Conv(channels, size.widths[0], side=7, stride=2, rngs=rngs)
        self.stem_norm = BatchNorm(size.widths[0])
        blocks, inputs = [], size.widths[0]
        for stage, (width, count) in enumerate(zip(size.widths, size.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                blocks.append(BLOCKS[size.block](inputs, width, stride, size, rngs=rngs))
                inputs = blocks[-1].features
        self.blocks = nnx.List(blocks)
        self.features = inputs

    def __call__(self, image: Array, *, train: bool) -> Array:
        """Image [b, h, w, c], 0..255, to tokens [b, n, d], row by row."""
        x = image.astype(self.stem.kernel[...].dtype) / 255
        x = self.stem(squares(x, self.square) if self.square else x)
        x = nnx.relu(self.stem_norm(x, train=train))
        x = x if self.square else max_pool(x)
        for block in self.blocks:
            # Kept for the backward pass is then what enters a block, and the rest made again.
            step = nnx.remat(_through, static_argnums=2) if self.remat else _through
            x = step(block, x, train)
        return x.reshape(x.shape[0], -1, self.features)


def _through(block: Basic | Bottleneck, x: Array, train: bool) -> Array:
    return block(x, train=train)
