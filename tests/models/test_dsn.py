import dataclasses

import jax
import numpy as np
import pytest

from dsnjax import metrics, state

CATEGORIES = 5


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (4, 32, 32, 1), dtype=np.uint8),
        "points": rng.normal(size=(4, 24, 3)).astype(np.float32),
        "length": np.array([24, 3, 1, 0], np.int32),
        "label": np.array([0, 1, 2, 3], np.int32),
        "mask": np.ones(4, np.float32),
    }


@pytest.fixture(scope="module")
def network(tiny):
    net = state.network(tiny.model, tiny.data, CATEGORIES)
    compiled = dataclasses.replace(net, apply=jax.jit(net.apply, static_argnames="train"))
    return compiled, *jax.jit(net.init)(jax.random.key(0))


def test_output_has_logits_a_feature_and_attention_over_both_branches(network, batch):
    net, params, statistics = network
    output, _ = net.apply(params, statistics, batch, train=False)
    assert output.logits.shape == (4, CATEGORIES)
    assert output.feature.shape == (4, 16)
    assert [logits.shape for logits in output.branches] == [(4, CATEGORIES)] * 2
    grid, steps = (32 // 4 // 2) ** 2, 24 // 2
    assert output.attention.shape == (4, grid + steps, 2)
    np.testing.assert_allclose(output.attention.sum(1), 1, atol=1e-5)
    assert not np.asarray(output.attention[3, grid:]).any()  # it has no points
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(output))


def test_head_reads_the_feature(network, batch):
    net, params, statistics = network
    output, _ = net.apply(params, statistics, batch, train=False)
    logits = output.feature @ params["head/kernel"] + params["head/bias"]
    np.testing.assert_allclose(output.logits, logits, atol=1e-5)


def test_reading_moves_no_batch_statistic(network, batch):
    net, params, statistics = network
    _, after = net.apply(params, statistics, batch, train=False)
    assert len(statistics) == 2 * (1 + 2 * 2)  # mean and variance: the stem, two in each block
    assert all(np.array_equal(statistics[name], after[name]) for name in statistics)


def test_dropout_depends_on_the_key_alone(network, batch):
    net, params, statistics = network

    def logits(seed):
        key = jax.random.key(seed)
        return np.asarray(net.apply(params, statistics, batch, train=True, key=key)[0].logits)

    assert np.array_equal(logits(1), logits(1))
    assert not np.array_equal(logits(1), logits(2))


def test_padding_rows_changes_no_figure(network, batch):
    net, params, statistics = network

    def sums(batch):
        output, _ = net.apply(params, statistics, batch, train=False)
        return metrics.sums(output.logits, batch["label"], batch["mask"])

    padded = {name: np.concatenate([part, part[:1] * 0]) for name, part in batch.items()}
    for one, other in zip(jax.tree.leaves(sums(batch)), jax.tree.leaves(sums(padded)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_parameters_are_named_by_their_place(network):
    _, params, _ = network
    assert {"cnn/stem/kernel", "cnn/blocks/1/first/kernel", "rnn/lstm/recurrent"} <= set(params)
    sizes = dict.fromkeys(("cnn", "rnn", "pool", "head"), 0)
    for name, leaf in params.items():
        part = name.partition("/")[0]
        sizes[part] = sizes.get(part, 0) + leaf.size
    stem = 9 * 16 * 8 + 2 * 8  # kernel, scale and bias of the norm
    first = 2 * 9 * 8 * 8 + 4 * 8
    second = 9 * 8 * 16 + 9 * 16 * 16 + 4 * 16 + (8 + 1) * 16  # with its shortcut
    assert sizes["cnn"] == stem + first + second
    lstm = 2 * (8 + 8 + 1) * 4 * 8  # two directions of four gates
    assert sizes["rnn"] == (5 * 3 + 1) * 8 + (3 * 8 + 1) * 8 + lstm
    assert sizes["pool"] == (16 + 1) * 16 + (16 + 1) * 2
    assert sizes["head"] == sizes["cnn_head"] == (16 + 1) * CATEGORIES
