import jax.numpy as jnp
import numpy as np

from dsnjax.models.norm import BatchNorm

X = np.random.default_rng(0).normal(3, 2, size=(8, 4, 4, 5)).astype(np.float32)


def test_training_gives_zero_mean_and_unit_variance_to_each_feature():
    y = np.asarray(BatchNorm(5)(jnp.asarray(X), train=True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)


def test_a_batch_moves_a_tenth_of_the_statistics():
    norm = BatchNorm(5)
    norm(jnp.asarray(X), train=True)
    np.testing.assert_allclose(norm.mean[...], 0.1 * X.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-4)


def test_reading_uses_the_running_statistics():
    norm = BatchNorm(5, scale=2.0)
    norm.mean[...], norm.var[...] = jnp.full(5, 3.0), jnp.full(5, 4.0)
    np.testing.assert_allclose(norm(jnp.asarray(X), train=False), X - 3, atol=1e-4)


def test_bfloat16_features_leave_float32_statistics():
    norm = BatchNorm(5)
    assert norm(jnp.asarray(X, jnp.bfloat16), train=True).dtype == jnp.bfloat16
    assert norm.mean[...].dtype == norm.var[...].dtype == jnp.float32
    np.testing.assert_allclose(norm.mean[...], 0.1 * X.mean((0, 1, 2)), rtol=1e-2)
