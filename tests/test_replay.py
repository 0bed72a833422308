import jax
import jax.numpy as jnp
import pytest

from dsnjax import replay

GOOD = {"loss": jnp.float32(1), "gradient": jnp.float32(2)}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("loss", jnp.nan, "the loss is nan"), ("gradient", jnp.inf, "the gradient is inf")],
)
def test_the_first_step_with_a_figure_that_is_no_number_is_named(name, value, said):
    watch = replay.Watch()
    for step in (3, 4, 5):
        watch.add(step, GOOD | ({name: jnp.float32(value)} if step > 3 else {}))
    assert watch.first_bad() == (4, said)
    assert watch.first_bad() is None  # until more is added


@pytest.mark.parametrize(("weight", "sound"), [(1.0, True), (jnp.nan, False), (-jnp.inf, False)])
def test_one_weight_that_is_no_number_makes_all_unsound(weight, sound):
    state = {"a": jnp.ones((2, 3)), "b": [jnp.ones(4).at[2].set(weight)], "step": jnp.int32(1)}
    assert bool(replay.sound(state | {"key": jax.random.key(0)})) == sound
