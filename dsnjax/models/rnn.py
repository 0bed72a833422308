"""Points of a drawing in, one token a step out: 1-D convolutions, then an LSTM."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config


class LSTM(nnx.Module):
    """Long short-term memory in one or two directions; steps beyond a length change nothing.

    Gates stand in the order input, forget, cell, output. Parameters carry a leading axis of
    directions, so that both directions are one scan.
    """

    def __init__(self, inputs: int, hidden: int, directions: int, *, rngs: nnx.Rngs):
        self.hidden = hidden
        lecun = nnx.initializers.lecun_normal(in_axis=-2, out_axis=-1, batch_axis=0)
        square = nnx.initializers.orthogonal()
        recurrent = [
            jnp.concatenate([square(rngs.params(), (hidden, hidden)) for _ in range(4)], axis=1)
            for _ in range(directions)
        ]
        self.kernel = nnx.Param(lecun(rngs.params(), (directions, inputs, 4 * hidden)))
        self.recurrent = nnx.Param(jnp.stack(recurrent))
        # A forget gate that starts open carries early points to the end (Jozefowicz et al. 2015).
        bias = jnp.zeros((directions, 4, hidden)).at[:, 1].set(1.0)
        self.bias = nnx.Param(bias.reshape(directions, 4 * hidden))

    def __call__(self, x: Array, mask: Array) -> Array:
        """[b, t, d] and mask [b, t] to [b, t, directions * hidden], zero beyond a length."""
        kernel, recurrent, bias = self.kernel[...], self.recurrent[...], self.bias[...]
        # The second direction reads the flipped padding first; masked, it stays at zero.
        ways = [(x, mask), (jnp.flip(x, 1), jnp.flip(mask, 1))][: len(kernel)]
        # All steps' inputs in one matrix product; only the recurrent one is left in the scan.
        gates = [(way @ kernel[k] + bias[k]).swapaxes(0, 1) for k, (way, _) in enumerate(ways)]
        real = [seen.T[..., None] for _, seen in ways]  # [t, b, 1]
        start = jnp.zeros((x.shape[0], self.hidden), x.dtype)

        def advance(carries, inputs):
            # One scan with a product for each direction: XLA's CPU backend has a fast path for
            # plain products, and none for batches of them.
            moved = [
                _advance(carry, gate, recurrent[k], real)
                for k, (carry, gate, real) in enumerate(zip(carries, *inputs, strict=True))
            ]
            return moved, [
                jnp.where(r, state, 0) for (state, _), r in zip(moved, inputs[1], strict=True)
            ]

        _, states = jax.lax.scan(advance, [(start, start)] * len(ways), (gates, real))
        states = [state.swapaxes(0, 1) for state in states]  # [b, t, hidden]
        return jnp.concatenate([states[0], *(jnp.flip(s, 1) for s in states[1:])], axis=-1)


def _advance(carry, gate, recurrent, real):
    """State and cell after one step [b, hidden]; where `real` [b, 1] is False, as before it."""
    state, cell = carry
    let_in, keep, new, let_out = jnp.split(gate + state @ recurrent, 4, axis=-1)
    moved = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(let_in) * jnp.tanh(new)
    shown = jax.nn.sigmoid(let_out) * jnp.tanh(moved)
    return jnp.where(real, shown, state), jnp.where(real, moved, cell)


class RNN(nnx.Module):
    """The paper's branch over points; `features` are those of a token."""

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
        self.strides = size.strides
        self.convolutions = nnx.List(convolutions)
        self.dropout = nnx.Dropout(dropout)
        directions = 2 if size.bidirectional else 1
        self.lstm = LSTM(inputs, size.hidden, directions, rngs=rngs)
        self.features = directions * size.hidden

    def __call__(
        self, points: Array, length: Array, *, train: bool, key: Array | None
    ) -> tuple[Array, Array]:
        """Points [b, t, 3] with lengths [b] to tokens [b, t', d] and their mask [b, t']."""
        x, mask = points, jnp.arange(points.shape[1]) < length[:, None]
        for depth, (convolution, stride) in enumerate(
            zip(self.convolutions, self.strides, strict=True)
        ):
            length = -(-length // stride)
            x = nnx.relu(convolution(x))
            mask = jnp.arange(x.shape[1]) < length[:, None]
            # Pad after the convolution: it mixed zeros of the padding into the last real
            # points, and real points into the padding.
            x = jnp.where(mask[..., None], x, 0)
            noise = None if key is None else jax.random.fold_in(key, depth)
            x = self.dropout(x, deterministic=not train, rngs=noise)
        return self.lstm(x, mask), mask
