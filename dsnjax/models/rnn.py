"""Points of a drawing in, one token a step out: 1-D convolutions, then recurrent layers."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.attention import AttentionPool
from dsnjax.models.recurrent import GRU, LSTM


class RNN(nnx.Module):
    """The paper's branch over points (section 5.2); `features` are those of a token.

    The authors' code reads all steps side by side, with a weight for each place in time. That
    reading is not built: such weights see a drawing that pauses or starts elsewhere as another
    one, make up four fifths of the branch, and give center loss a vector of 95,232 numbers, for
    which the authors themselves took the logits. `pooled` sums over time instead.
    """

    def __init__(self, size: config.RNN, dropout: float, *, rngs: nnx.Rngs):
        convolutions, inputs = [], 3
        for width, kernel, stride in zip(size.widths, size.kernels, size.strides, strict=True):
            # Padded by hand: "SAME" pads an odd and an even length differently, which would
            # make a drawing's tokens depend on how far its batch is padded.
            padding = ((kernel - 1) // 2, kernel // 2)
            convolutions.append(
                nnx.Conv(inputs, width, (kernel,), stride, padding=(padding,), rngs=rngs)
            )
            inputs = width
        self.strides, self.hidden = size.strides, size.hidden
        self.activation, self.pooling = size.activation, size.pool
        self.convolutions = nnx.List(convolutions)
        self.dropout = nnx.Dropout(dropout)
        directions = 2 if size.bidirectional else 1
        cell = {"lstm": LSTM, "gru": GRU}[size.cell]
        layers = [cell(inputs, size.hidden, directions, rngs=rngs)]
        for _ in range(size.layers - 1):
            layers.append(cell(layers[-1].features, size.hidden, directions, rngs=rngs))
        # Named by its kind, as `rnn/lstm/kernel`; layers on top of it as `rnn/above/0/kernel`.
        self.lstm = layers[0] if size.cell == "lstm" else None
        self.gru = layers[0] if size.cell == "gru" else None
        self.above = nnx.List(layers[1:])
        self.features = layers[-1].features
        self.pool = AttentionPool(self.features, 1, rngs=rngs) if size.pool == "attention" else None

    def __call__(
        self, points: Array, length: Array, *, train: bool, key: Array | None
    ) -> tuple[Array, Array]:
        """Points [b, t, 3] with lengths [b] to tokens [b, t', d] and their mask [b, t']."""
        depth = len(self.convolutions) + len(self.above)
        keys = [None if key is None else jax.random.fold_in(key, one) for one in range(depth)]
        x, mask = points, jnp.arange(points.shape[1]) < length[:, None]
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            length = -(-length // stride)
            x = convolution(x)
            x = nnx.relu(x) if self.activation == "relu" else x
            mask = jnp.arange(x.shape[1]) < length[:, None]
            # Pad after the convolution: it mixed zeros of the padding into the last real
            # points, and real points into the padding.
            x = jnp.where(mask[..., None], x, 0)
            x = self.dropout(x, deterministic=not train, rngs=keys.pop(0))
        first, *above = self.layers
        x = first(x, mask)
        for layer in above:
            x = layer(self.dropout(x, deterministic=not train, rngs=keys.pop(0)), mask)
        return x, mask

    @property
    def layers(self) -> list[LSTM | GRU]:
        """The recurrent layers, from the points up."""
        return [layer for layer in (self.lstm, self.gru, *self.above) if layer]

    def pooled(self, tokens: Array, mask: Array) -> Array:
        """Tokens [b, t, d] and their mask [b, t] to the branch's vector [b, d].

        Zero for a drawing without points, whichever way `model.rnn.pool` names.
        """
        if self.pool:
            return self.pool(tokens, mask)[0]
        if self.pooling == "mean":
            return masked_mean(tokens, mask)
        if self.pooling == "last":
            ends = mask & ~jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
            last = jnp.sum(jnp.where(ends[..., None], tokens, 0), axis=1)
            # Reading from the end, the last step is the first point's.
            return jnp.concatenate([last[:, : self.hidden], tokens[:, 0, self.hidden :]], axis=-1)
        return jnp.sum(tokens, axis=1)  # zero where the mask is


def masked_mean(tokens: Array, mask: Array) -> Array:
    """Mean [b, d] of the tokens [b, t, d] that are real; zero where none is."""
    total = jnp.sum(jnp.where(mask[..., None], tokens, 0), axis=1)
    return total / jnp.maximum(jnp.sum(mask, axis=1), 1)[:, None]
