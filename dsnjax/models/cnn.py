"""Image of a drawing in, tokens out: plain convolutions, the paper's baseline (section 5.2)."""

from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.convolution import Conv, max_pool, squares


class CNN(nnx.Module):
    """Convolutions and max pooling, then one layer over the whole grid.

    Every stage after the first halves height and width twice: by the stride of its first
    convolution and by pooling at its end. `features` are those of a token.
    """

    def __init__(self, size: config.CNN, side: int, channels: int, *, rngs: nnx.Rngs):
        self.square = size.stem
        side, inputs = side // size.stem, channels * size.stem**2
        convolutions, pools = [], []
        for stage, (width, count) in enumerate(zip(size.widths, size.blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                convolutions.append(Conv(inputs, width, stride=stride, bias=True, rngs=rngs))
                pools.append(stage > 0 and block == count - 1)
                side, inputs = -(-side // (stride * (1 + pools[-1]))), width
        self.convolutions = nnx.List(convolutions)
        self.pools = tuple(pools)
        he = nnx.initializers.he_normal()
        self.dense = (
            nnx.Linear(side * side * inputs, size.dense, kernel_init=he, rngs=rngs)
            if size.dense
            else None
        )
        self.features = size.dense or inputs

    def __call__(self, image: Array, *, train: bool) -> Array:
        """Image [b, h, w, c], 0..255, to tokens [b, n, d] row by row; after `dense` n is 1."""
        x = squares(image.astype(self.convolutions[0].kernel[...].dtype) / 255, self.square)
        for convolution, pooled in zip(self.convolutions, self.pools, strict=True):
            x = nnx.relu(convolution(x))
            x = max_pool(x) if pooled else x
        if self.dense:
            return nnx.relu(self.dense(x.reshape(x.shape[0], 1, -1)))
        return x.reshape(x.shape[0], -1, self.features)
