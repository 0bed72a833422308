import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dsnjax.models.recurrent import GRU, LSTM


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(kernel, recurrent, bias, x):
    """States of an LSTM over [t, d], a step at a time."""
    state = cell = np.zeros(len(recurrent))
    for row in x:
        let_in, keep, new, let_out = np.split(row @ kernel + state @ recurrent + bias, 4)
        cell = sigmoid(keep) * cell + sigmoid(let_in) * np.tanh(new)
        state = sigmoid(let_out) * np.tanh(cell)
        yield state


def gru(kernel, recurrent, bias, x):
    """States of a GRU over [t, d], a step at a time."""
    state = np.zeros(len(recurrent))
    bias, inner = np.split(bias, [kernel.shape[1]])
    for row in x:
        reset, update, new = np.split(row @ kernel + bias, 3)
        to_reset, to_update, to_new = np.split(state @ recurrent, 3)
        keep = sigmoid(update + to_update)
        new = np.tanh(new + sigmoid(reset + to_reset) * (to_new + inner))
        state = keep * state + (1 - keep) * new
        yield state


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # one direction after the other, or both
@pytest.mark.parametrize(("layer", "by_hand"), [(LSTM, lstm), (GRU, gru)])
def test_a_layer_reads_forwards_and_backwards(monkeypatch, layer, by_hand, backend):
    built = layer(3, 5, 2, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(1)
    built.bias[...] = jnp.asarray(rng.normal(size=built.bias.shape), jnp.float32)
    x = rng.normal(size=(1, 7, 3)).astype(np.float32)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    got = np.asarray(built(jnp.asarray(x), jnp.ones((1, 7), bool)))[0]
    weights = [np.asarray(part[...]) for part in (built.kernel, built.recurrent, built.bias)]
    for way, (rows, shown) in enumerate([(x[0], got[:, :5]), (x[0, ::-1], got[::-1, 5:])]):
        wanted = np.stack(list(by_hand(*(part[way] for part in weights), rows)))
        np.testing.assert_allclose(shown, wanted, atol=1e-5)


def test_an_lstm_forgets_nothing_at_first():
    bias = np.asarray(LSTM(3, 5, 2, rngs=nnx.Rngs(0)).bias[...]).reshape(2, 4, 5)
    assert bias[:, 1].all()
    assert not bias[:, [0, 2, 3]].any()
