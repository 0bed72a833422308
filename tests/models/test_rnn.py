import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dsnjax import config
from dsnjax.models.rnn import RNN

SIZE = config.RNN(widths=(8, 8), kernels=(5, 3), strides=(1, 2), hidden=6)


def points(length, padded_to, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros((1, padded_to, 3), np.float32)
    rows[0, :length] = rng.normal(size=(length, 3))
    return jnp.asarray(rows), jnp.asarray([length])


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


@pytest.mark.parametrize("pool", ["mean", "last", "sum", "attention"])
def test_a_vector_is_made_of_the_real_steps_alone(pool):
    rnn = RNN(SIZE.model_copy(update={"pool": pool}), 0.0, rngs=nnx.Rngs(0))
    tokens = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    tokens *= mask[..., None]
    got = np.asarray(rnn.pooled(jnp.asarray(tokens), jnp.asarray(mask)))
    real = tokens[0, :3]
    wanted = {
        "mean": real.mean(0),
        "sum": real.sum(0),
        "last": np.concatenate([real[2, :6], real[0, 6:]]),  # each direction's last
        "attention": np.asarray(rnn.pooled(real[None], np.ones((1, 3), bool)))[0],
    }
    np.testing.assert_allclose(got[0], wanted[pool], atol=1e-6)
    assert not got[1].any()


def test_layers_read_one_another_and_are_named_from_the_points_up():
    rnn = RNN(SIZE.model_copy(update={"layers": 3, "cell": "gru"}), 0.0, rngs=nnx.Rngs(0))
    assert [type(layer).__name__ for layer in rnn.layers] == ["GRU"] * 3
    assert rnn.layers == [rnn.gru, *rnn.above]
    assert [layer.kernel.shape[1] for layer in rnn.layers] == [8, 12, 12]
