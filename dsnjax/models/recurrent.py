"""Tokens in time in, the states of a recurrent layer out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

Carry = tuple[Array, ...]  # [b, hidden] each, the state first


class Recurrent(nnx.Module):
    """A layer of cells in one or two directions; steps beyond a length change nothing.

    Parameters carry a leading axis of directions, so that both directions are one scan: kernel
    [directions, inputs, gates * hidden], recurrent [directions, hidden, gates * hidden] and bias
    [directions, 4 * hidden].
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

    def advance(self, way: int, carry: Carry, gate: Array) -> Carry:
        """One step of one direction, from the inputs' products [b, gates * hidden]."""
        raise NotImplementedError

    def __call__(self, x: Array, mask: Array) -> Array:
        """[b, t, d] and mask [b, t] to [b, t, directions * hidden], zero beyond a length."""
        kernel = self.kernel[...]
        bias = self.bias[..., : kernel.shape[-1]]
        # The second direction reads the flipped padding first; masked, it stays at zero.
        ways = [(x, mask), (jnp.flip(x, 1), jnp.flip(mask, 1))][: len(kernel)]
        # All steps' inputs in one matrix product; only the recurrent one is left in the scan.
        gates = [(way @ kernel[k] + bias[k]).swapaxes(0, 1) for k, (way, _) in enumerate(ways)]
        real = [seen.T[..., None] for _, seen in ways]  # [t, b, 1]
        # float32 in every network: a sum over many steps in bfloat16 loses the small ones.
        start = (jnp.zeros((x.shape[0], self.hidden)),) * self.carried

        def advance(carries, inputs):
            # One scan with a product for each direction: XLA's CPU backend has a fast path for
            # plain products, and none for batches of them.
            moved = [
                _where(real, self.advance(way, carry, gate), carry)
                for way, (carry, gate, real) in enumerate(zip(carries, *inputs, strict=True))
            ]
            shown = [jnp.where(real, one[0], 0) for one, real in zip(moved, inputs[1], strict=True)]
            return moved, [state.astype(x.dtype) for state in shown]

        _, states = jax.lax.scan(advance, [start] * len(ways), (gates, real))
        states = [state.swapaxes(0, 1) for state in states]  # [b, t, hidden]
        return jnp.concatenate([states[0], *(jnp.flip(s, 1) for s in states[1:])], axis=-1)


class LSTM(Recurrent):
    """Long short-term memory; gates stand in the order input, forget, cell, output."""

    gates = 4
    carried = 2

    def __init__(self, inputs: int, hidden: int, directions: int, *, rngs: nnx.Rngs):
        super().__init__(inputs, hidden, directions, rngs=rngs)
        # A forget gate that starts open carries early points to the end (Jozefowicz et al. 2015).
        self.bias[...] = self.bias[...].at[:, hidden : 2 * hidden].set(1.0)

    def advance(self, way: int, carry: Carry, gate: Array) -> Carry:
        state, cell = carry
        gate = (gate + state.astype(gate.dtype) @ self.recurrent[way]).astype(jnp.float32)
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

    def advance(self, way: int, carry: Carry, gate: Array) -> Carry:
        (state,) = carry
        product = (state.astype(gate.dtype) @ self.recurrent[way]).astype(jnp.float32)
        reset, update, new = jnp.split(gate.astype(jnp.float32), 3, axis=-1)
        to_reset, to_update, to_new = jnp.split(product, 3, axis=-1)
        keep = jax.nn.sigmoid(update + to_update)
        to_new = to_new + self.bias[way, 3 * self.hidden :]
        new = jnp.tanh(new + jax.nn.sigmoid(reset + to_reset) * to_new)
        return ((1 - keep) * new + keep * state,)


def _where(real: Array, moved: Carry, before: Carry) -> Carry:
    """What is carried after a step; where `real` [b, 1] is False, as before it."""
    return tuple(jnp.where(real, new, old) for new, old in zip(moved, before, strict=True))
