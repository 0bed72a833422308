from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import config, optim

SETTINGS = config.Optim(learning_rate=0.5, warmup=0.1, weight_decay=0.1, clip=1.0)


def test_the_rate_climbs_then_falls_to_nothing():
    rate = optim.schedule(SETTINGS, 100)
    assert [float(rate(step)) for step in (0, 5, 10, 55, 100)] == pytest.approx(
        [0, 0.25, 0.5, 0.25, 0], abs=1e-6
    )


def test_kernels_decay_and_biases_do_not():
    tx: Any = optim.make(SETTINGS, 100)
    params = {"a/kernel": jnp.ones(2), "a/bias": jnp.ones(2), "norm/scale": jnp.ones(2)}
    nothing = {name: jnp.zeros(2) for name in params}
    state = tx.init(params)
    for _ in range(3):  # the first step's rate is zero
        updates, state = tx.update(nothing, state, params)
    assert (np.asarray(updates["a/kernel"]) < 0).all()
    assert not np.asarray(updates["a/bias"]).any()
    assert not np.asarray(updates["norm/scale"]).any()


def test_a_wild_gradient_is_clipped():
    tx: Any = optim.make(SETTINGS, 100)
    params = {"a/bias": jnp.ones(2)}
    _, wild = tx.update({"a/bias": jnp.array([3e9, 4e9])}, tx.init(params), params)
    _, tame = tx.update({"a/bias": jnp.array([0.6, 0.8])}, tx.init(params), params)
    np.testing.assert_allclose(wild[1][0].mu["a/bias"], tame[1][0].mu["a/bias"], rtol=1e-5)
