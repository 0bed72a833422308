import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dsnjax import config
from dsnjax.models.recurrent import LSTM
from dsnjax.models.rnn import RNN

SIZE = config.RNN(widths=(8, 8), kernels=(5, 3), strides=(1, 2), hidden=6)


def points(length, padded_to, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros((1, padded_to, 3), np.float32)
    rows[0, :length] = rng.normal(size=(length, 3))
    return jnp.asarray(rows), jnp.asarray([length])


def step_by_step(lstm, x, way):
    """One direction of an LSTM over [t, d], a step at a time in numpy."""
    kernel, recurrent, bias = (
        np.asarray(p[...][way]) for p in (lstm.kernel, lstm.recurrent, lstm.bias)
    )
    state = cell = np.zeros(lstm.hidden)
    states = []
    for row in x:
        let_in, keep, new, let_out = np.split(row @ kernel + state @ recurrent + bias, 4)
        cell = cell / (1 + np.exp(-keep)) + np.tanh(new) / (1 + np.exp(-let_in))
        state = np.tanh(cell) / (1 + np.exp(-let_out))
        states.append(state)
    return np.stack(states)


def test_lstm_reads_forwards_and_backwards():
    lstm = LSTM(3, 5, 2, rngs=nnx.Rngs(0))
    x = np.random.default_rng(1).normal(size=(1, 7, 3)).astype(np.float32)
    got = np.asarray(lstm(jnp.asarray(x), jnp.ones((1, 7), bool)))[0]
    np.testing.assert_allclose(got[:, :5], step_by_step(lstm, x[0], 0), atol=1e-5)
    np.testing.assert_allclose(got[::-1, 5:], step_by_step(lstm, x[0, ::-1], 1), atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 2)])
def test_padding_changes_no_token_of_a_drawing(length, strides):
    rnn = RNN(SIZE.model_copy(update={"strides": strides}), 0.0, rngs=nnx.Rngs(0))
    short, mask = rnn(*points(length, 8), train=False, key=None)
    long, long_mask = rnn(*points(length, 21), train=False, key=None)
    tokens = int(mask.sum())
    assert tokens == int(long_mask.sum()) == math.ceil(math.ceil(length / strides[0]) / strides[1])
    np.testing.assert_allclose(short[0, :tokens], long[0, :tokens], atol=1e-6)
    assert not np.asarray(long[0, tokens:]).any()


def test_a_drawing_without_points_has_no_tokens():
    tokens, mask = RNN(SIZE, 0.0, rngs=nnx.Rngs(0))(*points(0, 8), train=False, key=None)
    assert not mask.any()
    assert not np.asarray(tokens).any()
