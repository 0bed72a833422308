import jax.numpy as jnp
import numpy as np
from flax import nnx

from dsnjax.models.attention import AttentionPool


def pooled(tokens, mask):
    pool = AttentionPool(tokens.shape[-1], 2, rngs=nnx.Rngs(0))
    return [np.asarray(part) for part in pool(jnp.asarray(tokens), jnp.asarray(mask))]


def test_weights_sum_to_one_over_the_real_tokens():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    feature, weights = pooled(tokens, mask)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert not weights[0, 3:].any()
    heads = tokens.reshape(2, 5, 2, 2)
    wanted = (weights[..., None] * heads).sum(1).reshape(2, 4)
    np.testing.assert_allclose(feature, wanted, atol=1e-6)


def test_a_drawing_without_tokens_is_zero_and_not_nan():
    feature, weights = pooled(np.ones((1, 3, 4), np.float32), np.zeros((1, 3), bool))
    assert not feature.any()
    assert not weights.any()
