from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import config, optim

SETTINGS = config.Optim(learning_rate=0.5, warmup=0.1, weight_decay=0.1, clip=1.0)
BARE = config.Optim(learning_rate=0.1, schedule="constant", warmup=0, weight_decay=0, clip=1e9)
PARAMS = {"a/kernel": jnp.array([[3.0], [4.0]]), "a/bias": jnp.array([1.0])}
GRADIENT = {"a/kernel": jnp.array([[0.5], [-0.25]]), "a/bias": jnp.array([2.0])}


def rates(steps, **values):
    rate = optim.schedule(SETTINGS.model_copy(update=values), (30, 60, 100))
    return [float(rate(step)) for step in steps]


def updates(steps=1, **values) -> dict[str, np.ndarray]:
    """The update of the last of some steps by one gradient from PARAMS."""
    tx: Any = optim.make(BARE.model_copy(update=values), (100,))
    state, moved = tx.init(PARAMS), {}
    for _ in range(steps):
        moved, state = tx.update(GRADIENT, state, PARAMS)
    return {name: np.asarray(leaf).ravel() for name, leaf in moved.items()}


def test_the_rate_climbs_then_falls_to_nothing():
    assert rates([0, 5, 10, 55, 100]) == pytest.approx([0, 0.25, 0.5, 0.25, 0], abs=1e-6)


def test_a_constant_rate_climbs_and_stays():
    assert rates([0, 5, 10, 99], schedule="constant") == pytest.approx([0, 0.25, 0.5, 0.5])


def test_the_authors_rate_is_halved_at_the_end_of_each_epoch():
    found = rates([0, 29, 30, 59, 60, 99], schedule="halving", warmup=0.0)
    assert found == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.125, 0.125])


def test_the_rate_drops_where_it_is_told_to():
    drops = {"schedule": "step", "warmup": 0.0, "drops": (0.5, 0.8), "drop": 0.1}
    assert rates([49, 50, 79, 80], **drops) == pytest.approx([0.5, 0.05, 0.05, 0.005])


def test_sgd_goes_down_the_gradient_and_keeps_going_by_its_momentum():
    assert updates(kind="sgd")["a/kernel"] == pytest.approx([-0.05, 0.025])
    assert updates(2, kind="sgd", momentum=0.5)["a/kernel"] == pytest.approx([-0.075, 0.0375])


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adams_first_step_is_the_rate_whatever_the_gradients_size(kind):
    assert updates(kind=kind)["a/kernel"] == pytest.approx([-0.1, 0.1], rel=1e-4)


def test_adamw_takes_decay_off_the_weights_and_adam_adds_it_to_the_gradient():
    # 0.1 (sign + 0.5 w) against 0.1 sign(g + 0.5 w)
    assert updates(kind="adamw", weight_decay=0.5)["a/kernel"] == pytest.approx(
        [-0.25, -0.1], rel=1e-4
    )
    assert updates(kind="adam", weight_decay=0.5)["a/kernel"] == pytest.approx(
        [-0.1, -0.1], rel=1e-4
    )


def test_sgd_adds_decay_to_the_gradient():
    assert updates(kind="sgd", weight_decay=0.5)["a/kernel"] == pytest.approx([-0.2, -0.175])


def test_lambs_first_step_is_the_rate_times_the_norm_of_the_weights():
    # Adam's step, here (1, -1), is brought to the norm of the layer's weights, here 5.
    wanted = np.array([-1, 1]) * 0.1 * 5 / np.sqrt(2)
    np.testing.assert_allclose(updates(kind="lamb")["a/kernel"], wanted, rtol=1e-4)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "lamb"])
def test_kernels_decay_and_biases_do_not(kind):
    tx: Any = optim.make(BARE.model_copy(update={"kind": kind, "weight_decay": 0.1}), (100,))
    params = {name: jnp.ones(2) for name in ("a/kernel", "a/bias", "norm/scale")}
    moved, _ = tx.update({name: jnp.zeros(2) for name in params}, tx.init(params), params)
    assert (np.asarray(moved["a/kernel"]) < 0).all()
    assert not np.asarray(moved["a/bias"]).any()
    assert not np.asarray(moved["norm/scale"]).any()


def test_a_wild_gradient_is_clipped():
    tx: Any = optim.make(SETTINGS, (100,))
    params = {"a/bias": jnp.ones(2)}
    _, wild = tx.update({"a/bias": jnp.array([3e9, 4e9])}, tx.init(params), params)
    _, tame = tx.update({"a/bias": jnp.array([0.6, 0.8])}, tx.init(params), params)
    np.testing.assert_allclose(wild[1][0].mu["a/bias"], tame[1][0].mu["a/bias"], rtol=1e-5)
