from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import config, optim, state
from dsnjax.models import Output
from dsnjax.step import averaged, make_train_step

CATEGORIES, FEATURES, STEPS = 3, 4, 10
OPTIM = config.Optim(kind="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0, warmup=0.0)
LOSS = config.Loss(alpha=0.5, label_smoothing=0.1)


def plain() -> state.Network:
    """A network without batch statistics: points, a product, a head."""

    def init(key):
        one, other = jax.random.split(key)
        return {
            "body/kernel": jax.random.normal(one, (3, FEATURES)),
            "head/kernel": jax.random.normal(other, (FEATURES, CATEGORIES)),
        }, {}

    def apply(params, statistics, batch, *, train, key=None):
        feature = jnp.tanh(batch["points"].sum(1) @ params["body/kernel"])
        logits = feature @ params["head/kernel"]
        return Output(logits, feature, (logits, logits), jnp.zeros(())), statistics

    return state.Network(init, apply, CATEGORIES, FEATURES)


def batch(mask, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CATEGORIES - 1, len(mask)).astype(np.int32)  # one is never seen
    points = rng.normal(size=(len(mask), 5, 3)).astype(np.float32)
    return {"points": points, "label": label, "mask": np.asarray(mask, np.float32)}


def run(settings, batches, loss=LOSS):
    """The states and figures of a few steps of the plain network."""
    network = plain()
    tx = optim.make(settings, (STEPS,))
    now = state.initial(network, tx, 0, ema=settings.ema > 0)
    step = jax.jit(make_train_step(network, tx, loss, settings, STEPS))
    said = []
    for one in batches:
        now, figures = step(now, one)
        said.append((now, figures))
    return said


def close(one, other, rtol=1e-5):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_gives_the_step_of_the_whole_batch_also_with_padding(parts):
    batches = [batch([1] * 8), batch([1, 0, 0, 1, 1, 0, 0, 0], seed=1), batch([1] * 8, seed=2)]
    alone = run(OPTIM, batches)
    together = run(OPTIM.model_copy(update={"accumulate": parts}), batches)
    for (one, figures), (other, same) in zip(alone, together, strict=True):
        close(vars(one) | {"key": 0}, vars(other) | {"key": 0})
        close(figures, same)


def test_parts_in_a_loop_need_less_memory_than_the_whole_batch(monkeypatch):
    """As on an accelerator, with activations far larger than the weights."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    network, wide = plain(), batch([1] * 512)
    wide["points"] = np.zeros((512, 64, 3), np.float32)

    def apply(params, statistics, batch, *, train, key=None):
        feature = jnp.tanh(jnp.tanh(batch["points"] @ params["body/kernel"]) @ jnp.eye(FEATURES))
        logits = feature.sum(1) @ params["head/kernel"]
        return Output(logits, feature.sum(1), (), jnp.zeros(())), statistics

    def temporary(parts):
        settings = OPTIM.model_copy(update={"accumulate": parts})
        net, tx = (
            state.Network(network.init, apply, CATEGORIES, FEATURES),
            optim.make(settings, (STEPS,)),
        )
        step = make_train_step(net, tx, config.Loss(), settings, STEPS)
        compiled: Any = jax.jit(step).lower(state.initial(net, tx, 0), wide).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(8) < 0.7 * temporary(1)


@pytest.mark.slow
def test_parts_move_the_batch_statistics_of_a_network_that_has_some(tiny):
    network = state.network(tiny.model, tiny.data, CATEGORIES)
    settings = OPTIM.model_copy(update={"accumulate": 2})
    tx = optim.make(settings, (STEPS,))
    now = state.initial(network, tx, 0)
    drawings = batch([1] * 4) | {
        "image": np.random.default_rng(0).integers(0, 255, (4, 32, 32, 1), np.uint8),
        "length": np.full(4, 5, np.int32),
    }
    step = jax.jit(make_train_step(network, tx, config.Loss(), settings, STEPS))
    after, _ = step(now, drawings)
    assert after.statistics.keys() == now.statistics.keys()
    assert all((after.statistics[name] != now.statistics[name]).any() for name in now.statistics)


def test_averages_follow_the_weights_by_the_formula():
    settings = OPTIM.model_copy(update={"ema": 0.15})
    path = [now.params["head/kernel"] for now, _ in run(settings, [batch([1] * 8)] * 3)]
    kept = np.asarray(state.initial(plain(), optim.make(OPTIM, (9,)), 0).params["head/kernel"])
    for stays, weights in zip([1 / 10, 0.15, 0.15], path, strict=True):
        kept = stays * kept + (1 - stays) * np.asarray(weights)
    (*_, (last, _)) = run(settings, [batch([1] * 8)] * 3)
    assert last.ema is not None
    np.testing.assert_allclose(last.ema[0]["head/kernel"], kept, rtol=1e-6)


def test_batch_statistics_are_averaged_as_weights_are():
    ema = ({"a": jnp.zeros(2)}, {"mean": jnp.zeros(2)})
    params, statistics = averaged(ema, ({"a": jnp.ones(2)}, {"mean": jnp.ones(2)}), 10**6, 0.75)
    assert params["a"].tolist() == statistics["mean"].tolist() == [0.25, 0.25]


def test_averages_are_what_is_used_and_weights_where_there_are_none():
    ((averaging, _),) = run(OPTIM.model_copy(update={"ema": 0.9}), [batch([1] * 8)])
    ((bare, _),) = run(OPTIM, [batch([1] * 8)])
    assert averaging.used is averaging.ema
    assert bare.used[0] is bare.params


def test_alpha_climbs_over_its_warm_up():
    loss = config.Loss(alpha=1.0, center_warmup=0.2)
    said = [figures for _, figures in run(OPTIM, [batch([1] * 8)] * 4, loss)]
    rest = [
        float(one["loss"] - one["cross_entropy"] - loss.auxiliary * one["branches"]) for one in said
    ]
    share = [there / float(one["center"]) for there, one in zip(rest[1:], said[1:], strict=True)]
    assert share == pytest.approx([0.5, 1, 1], abs=1e-4)


def test_fixed_centers_stay_where_they_are():
    loss = config.Loss(centers="fixed")
    (*_, (last, _)) = run(OPTIM, [batch([1] * 8)] * 3, loss)
    assert not np.asarray(last.centers.mean).any()


def heaps(seed, count):
    """Points of two categories which overlap, apart along one of three directions."""
    drawn = batch([1] * count, seed=seed)
    noise = np.random.default_rng(seed).normal(size=(count, 3)) * [0.3, 1, 1]
    side = np.where(drawn["label"] == 1, 0.5, -0.5)
    points = np.zeros_like(drawn["points"])
    points[:, 0] = noise + np.stack([side, 0 * side, 0 * side], 1)
    return drawn | {"points": points}


def spread(alpha):
    """How far features lie from their category's mean, in distances of those means."""
    settings = OPTIM.model_copy(update={"learning_rate": 0.3, "schedule": "constant"})
    training = [heaps(seed, 64) for seed in range(150)]
    *_, (last, _) = run(settings, training, config.Loss(alpha=alpha, center_momentum=0.9))
    fresh = heaps(999, 256)
    feature = np.asarray(plain().apply(last.params, {}, fresh, train=False)[0].feature)
    own = [feature[fresh["label"] == label] for label in (0, 1)]
    inside = np.mean([np.linalg.norm(heap - heap.mean(0), axis=1).mean() for heap in own])
    return inside / np.linalg.norm(own[0].mean(0) - own[1].mean(0))


def test_center_loss_pulls_the_features_of_a_category_together():
    assert spread(0.3) < 0.7 * spread(0.0)
