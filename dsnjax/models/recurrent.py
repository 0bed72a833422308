"""Tokens in time in, the states of a recurrent layer out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

Carry = tuple[Array, ...]  # [b, hidden] each, the state first


class Recurrent(nnx.Module):
    """A layer of cells in one or two directions; steps beyond a length change nothing.

    Parameters carry a leading axis of directions: kernel [directions, inputs, gates * hidden],
    recurrent [directions, hidden, gates * hidden] and bias [directions, 4 * hidden].
    """

    gates: int  # products of the inputs and of the state that a cell reads
    carried: int  # arrays it hands to the next step

    def __init__(self, inputs: int, hidden: int, directions: int, *, rngs: nnx.Rngs):
        self.hidden, self.features = hidden, directions * hidden
        lecun = nnx.initializers.lecun_normal(in_axis=-2, out_axis=-1, batch_axis=0)
        square = nnx.initializers.orthogonal()
        recurrent = [
            [square(rngs.params(), (hidden, hidden)) for _ in range(self.gates)]
            for _ in range(directions)
        ]
        self.kernel = nnx.Param(lecun(rngs.params(), (directions, inputs, self.gates * hidden)))
        self.recurrent = nnx.Param(jnp.stack([jnp.concatenate(way, axis=1) for way in recurrent]))
        self.bias = nnx.Param(jnp.zeros((directions, 4 * hidden)))

    @staticmethod
    def advance(carry: Carry, gate: Array, recurrent: Array, bias: Array) -> Carry:
        """One step of one direction, from the inputs' products [b, gates * hidden]."""
        raise NotImplementedError

    def __call__(self, x: Array, mask: Array) -> Array:
        """[b, t, d] and mask [b, t] to [b, t, directions * hidden], zero beyond a length."""
        weights = self.kernel[...], self.recurrent[...], self.bias[...]
        directions = len(weights[0])
        # The second direction reads the flipped padding first; masked, it stays at zero.
        xs, masks = [x, jnp.flip(x, 1)][:directions], [mask, jnp.flip(mask, 1)][:directions]
        if jax.default_backend() == "cpu":
            # Its backend has a fast path for plain products, and none for batches of them.
            states = [self.states(*way) for way in zip(xs, masks, *weights, strict=True)]
        else:
            # Both directions step together: a step is too small to fill a GPU.
            states = jax.vmap(self.states)(jnp.stack(xs), jnp.stack(masks), *weights)
        first, *second = states
        return jnp.concatenate([first, *(jnp.flip(one, 1) for one in second)], axis=-1)

    def states(self, x: Array, mask: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
        """The states [b, t, hidden] of one direction."""
        # All steps' inputs in one matrix product; only the recurrent one is left in the scan.
        gates = x @ kernel + bias[: kernel.shape[-1]]
        # float32 in every network: a sum over many steps in bfloat16 loses the small ones.
        start = (jnp.zeros((x.shape[0], self.hidden)),) * self.carried

        def advance(carry, inputs):
            gate, real = inputs
            after = self.advance(carry, gate, recurrent, bias)
            # Where there is no step, what was before it is handed on.
            after = tuple(jnp.where(real, new, old) for new, old in zip(after, carry, strict=True))
            return after, jnp.where(real, after[0], 0).astype(x.dtype)

        _, states = jax.lax.scan(advance, start, (gates.swapaxes(0, 1), mask.T[..., None]))
        return states.swapaxes(0, 1)


class LSTM(Recurrent):
    """Long short-term memory; gates stand in the order input, forget, cell, output."""

    gates = 4
    carried = 2

    def __init__(self, inputs: int, hidden: int, directions: int, *, rngs: nnx.Rngs):
        super().__init__(inputs, hidden, directions, rngs=rngs)
        # A forget gate that starts open carries early points to the end (Jozefowicz et al. 2015).
        self.bias[...] = self.bias[...].at[:, hidden : 2 * hidden].set(1.0)

    @staticmethod
    def advance(carry: Carry, gate: Array, recurrent: Array, bias: Array) -> Carry:
        state, cell = carry
        gate = (gate + state.astype(gate.dtype) @ recurrent).astype(jnp.float32)
        let_in, keep, new, let_out = jnp.split(gate, 4, axis=-1)
        moved = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(let_in) * jnp.tanh(new)
        return jax.nn.sigmoid(let_out) * jnp.tanh(moved), moved


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014); gates stand in the order reset, update, new.

    The reset gate acts on the state's product, not on the state, so that one product serves all
    gates, as in cuDNN and PyTorch. The fourth part of `bias` is added to the new gate's share of
    that product.
    """

    gates = 3
    carried = 1

    @staticmethod
    def advance(carry: Carry, gate: Array, recurrent: Array, bias: Array) -> Carry:
        (state,) = carry
        product = (state.astype(gate.dtype) @ recurrent).astype(jnp.float32)
        reset, update, new = jnp.split(gate.astype(jnp.float32), 3, axis=-1)
        to_reset, to_update, to_new = jnp.split(product, 3, axis=-1)
        keep = jax.nn.sigmoid(update + to_update)
        to_new = to_new + bias[gate.shape[-1] :]
        new = jnp.tanh(new + jax.nn.sigmoid(reset + to_reset) * to_new)
        return ((1 - keep) * new + keep * state,)
