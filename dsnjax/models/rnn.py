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
        directions = self.kernel.shape[0]
        # The second direction reads the flipped padding first; masked, it stays at zero.
        both = jnp.stack([x, jnp.flip(x, 1)][:directions])  # [k, b, t, d]
        seen = jnp.stack([mask, jnp.flip(mask, 1)][:directions])
        # All steps' inputs in one matrix product; only the recurrent one is left in the scan.
        gates = jnp.einsum("kbtd,kdg->tkbg", both, self.kernel[...])
        gates = gates + self.bias[...][:, None]
        recurrent = self.recurrent[...]

        def advance(carry, inputs):
            state, cell = carry  # [k, b, hidden]
            gate, real = inputs
            total = gate + jnp.einsum("kbh,khg->kbg", state, recurrent)
            let_in, keep, new, let_out = jnp.split(total, 4, axis=-1)
            moved = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(let_in) * jnp.tanh(new)
            cell = jnp.where(real, moved, cell)
            state = jnp.where(real, jax.nn.sigmoid(let_out) * jnp.tanh(moved), state)
            return (state, cell), jnp.where(real, state, 0)

        start = jnp.zeros((directions, x.shape[0], self.hidden), x.dtype)
        real = seen.transpose(2, 0, 1)[..., None]  # [t, k, b, 1]
        _, states = jax.lax.scan(advance, (start, start), (gates, real))
        states = states.transpose(1, 2, 0, 3)  # [k, b, t, hidden]
        return jnp.concatenate([states[0], *(jnp.flip(s, 1) for s in states[1:])], axis=-1)


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
