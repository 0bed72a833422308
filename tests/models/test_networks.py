"""What every preset's network keeps to, at a few thousand weights and its own structure."""

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import config, flags, losses, optim, presets, settings, state
from dsnjax.models import Output
from dsnjax.step import make_train_step

CATEGORIES = 5
NAMES = sorted(path.stem for path in presets.folder().glob("*.yaml"))
PRESETS = [name for name in NAMES if "model" in settings.load(name)]  # finetune takes another's
# Every structure once: resnet50, dsn and dsn_plus are parts of those below.
CASES = [
    "cnn",
    "tf_rnn",
    "rnn --model.rnn.cell gru --model.rnn.pool attention",
    "resnet50 --model.cnn.block basic",
    "dsn --model.fusion logits",
    "dsn_small",
    "dsn_best",
]
# Little to compile is what makes these tests quick, so nothing is optimized either.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
SMALL = {
    "cnn": {"widths": (8, 16), "blocks": (1, 1)},
    "rnn": {"widths": (8, 8), "kernels": (5, 3), "hidden": 8},
    "width": 16,
    "heads": 2,
}


def full(case: str) -> config.Config:
    preset, *argv = case.split()
    return flags.parse(config.Config, argv, settings.load(preset))


def reduced(case: str) -> config.Config:
    """A preset with all of its structure and little of its size."""
    found = full(case)
    model = found.model
    cnn = SMALL["cnn"] | {
        "groups": min(model.cnn.groups, 2),
        "squeeze": min(model.cnn.squeeze, 4),
        "dense": min(model.cnn.dense, 12),
    }
    rnn = SMALL["rnn"] | {"strides": model.rnn.strides[:2]}
    changed = SMALL | {
        "cnn": model.cnn.model_dump() | cnn,
        "rnn": model.rnn.model_dump() | rnn,
    }
    values = found.model_dump() | {"model": model.model_dump() | changed}
    return settings.check(config.Config, values | {"data": {"image_size": 16, "length": 24}})


def drawings(points: int = 24) -> dict[str, np.ndarray]:
    """Four drawings whose points are padded up to `points`; the last has none."""
    rng = np.random.default_rng(0)
    rows = np.zeros((4, points, 3), np.float32)
    rows[:, :24] = rng.normal(size=(4, 24, 3))
    return {
        "image": rng.integers(0, 256, (4, 16, 16, 1), dtype=np.uint8),
        "points": rows,
        "length": np.array([24, 7, 1, 0], np.int32),
        "label": np.array([0, 1, 2, 3], np.int32),
        "mask": np.ones(4, np.float32),
    }


def weights(net: state.Network) -> tuple[state.Arrays, state.Arrays]:
    """Params and statistics without compiling how they are drawn; no norm begins at zero."""
    rng = np.random.default_rng(0)
    params, statistics = jax.eval_shape(net.init, jax.random.key(0))
    params = {
        name: jnp.asarray(
            rng.normal(name.endswith("/scale"), leaf.shape[-1] ** -0.5, leaf.shape), jnp.float32
        )
        for name, leaf in sorted(params.items())
    }
    begins = {"mean": jnp.zeros, "var": jnp.ones}
    return params, {
        name: begins[name.rpartition("/")[2]](leaf.shape) for name, leaf in statistics.items()
    }


class Step(NamedTuple):
    output: Output
    before: state.Arrays
    after: state.Arrays
    gradient: state.Arrays


def step(found: config.Config) -> Step:
    """One forward and backward pass while training."""
    net = state.network(found.model, found.data, CATEGORIES)
    params, statistics = weights(net)
    centers = losses.no_centers(CATEGORIES, net.features)
    batch = drawings()

    def loss(params):
        output, after = net.apply(params, statistics, batch, train=True, key=jax.random.key(1))
        rows = losses.rows(batch["label"], batch["mask"], centers)
        total, _ = losses.total(found.loss, found.loss.alpha, output, centers, rows)
        return total, (output, after)

    slope = jax.jit(jax.grad(loss, has_aux=True), compiler_options=QUICK)
    gradient, (output, after) = slope(params)
    return Step(output, statistics, after, gradient)


def look(found: config.Config, batch: dict[str, np.ndarray]) -> Output:
    """What a network says of a batch when it is not trained."""
    net = state.network(found.model, found.data, CATEGORIES)
    params, statistics = weights(net)
    apply = jax.jit(partial(net.apply, train=False), compiler_options=QUICK)
    return apply(params, statistics, batch)[0]


def changed(found: config.Config, **values) -> config.Config:
    return found.model_copy(update={"model": found.model.model_copy(update=values)})


@pytest.fixture(scope="module", params=CASES)
def taken(request) -> tuple[config.Config, Step]:
    found = reduced(request.param)
    return found, step(found)


@pytest.mark.parametrize("case", CASES)
def test_one_compilation_serves_every_step(case):
    """A state of other types, weak ones too, than the step gives back would compile it again."""
    found = reduced(case)
    net = state.network(found.model, found.data, CATEGORIES)
    tx = optim.make(found.optim, [10])
    before = jax.eval_shape(lambda: state.initial(net, tx, 0, ema=found.optim.ema > 0))
    step = make_train_step(net, tx, found.loss, found.optim, 10)
    after, _ = jax.eval_shape(step, before, drawings())
    assert types(after) == types(before)


def types(abstract) -> list[tuple]:
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(abstract)]


def test_a_step_moves_every_statistic_and_reaches_every_parameter(taken):
    found, one = taken
    assert bool(one.after) == (found.model.branches != "rnn" and found.model.cnn.block != "plain")
    still = [name for name in one.before if np.array_equal(one.before[name], one.after[name])]
    assert still == []
    dead = {name for name, leaf in one.gradient.items() if not np.asarray(leaf).any()}
    # A softmax over tokens does not see what all scores have in common.
    assert dead <= {"pool/score/bias"}


def test_what_is_kept_is_float32_whatever_the_network_computes_in(taken):
    found, one = taken
    kept = jax.tree.leaves((one.output, one.after, one.gradient))
    wide = {leaf.dtype for leaf in kept} - {np.dtype(found.model.dtype)}
    assert wide <= {np.dtype("float32")}
    assert one.output.logits.dtype == one.output.feature.dtype == np.float32
    assert all(leaf.dtype == np.float32 for leaf in one.after.values())
    assert all(leaf.dtype == np.float32 for leaf in one.gradient.values())


def test_the_output_is_as_its_docstring_says(taken):
    found, one = taken
    net = state.network(found.model, found.data, CATEGORIES)
    assert one.output.logits.shape == (4, CATEGORIES)
    assert one.output.feature.shape == (4, net.features)
    both = found.model.branches == "both"
    assert [own.shape for own in one.output.branches] == [(4, CATEGORIES)] * 2 * both
    if not both:
        assert one.output.attention is None
    else:
        np.testing.assert_allclose(one.output.attention.sum(1), 1, atol=1e-3)


@pytest.mark.parametrize("case", ["rnn --model.rnn.cell gru --model.rnn.pool last", "dsn_small"])
def test_padding_points_changes_nothing(case):
    short, long = (look(reduced(case), drawings(points)) for points in (24, 37))
    assert np.isfinite(long.logits).all()
    np.testing.assert_allclose(short.logits, long.logits, atol=1e-5)
    np.testing.assert_allclose(short.feature, long.feature, atol=1e-5)


def test_bfloat16_says_nearly_the_same():
    found = reduced("dsn_small")
    rough, fine = (look(changed(found, dtype=d), drawings()) for d in ("bfloat16", "float32"))
    gap = np.abs(rough.logits - fine.logits).max()
    assert 0 < gap < 0.1 * np.abs(fine.logits).max()


def test_a_frozen_branch_and_its_head_work_as_in_evaluation():
    found = changed(reduced("dsn_small --model.fusion logits"), dropout=0.5)
    net = state.network(found.model, found.data, CATEGORIES, ("cnn", "cnn_head"))
    apply = partial(net.apply, *weights(net), drawings())
    training, looking = apply(train=True, key=jax.random.key(0))[0], apply(train=False)[0]
    same = map(np.allclose, training.branches, looking.branches)
    assert [*same] == [True, False]


def test_remat_changes_no_gradient_and_no_statistic():
    found = reduced("resnet50 --model.cnn.block basic")
    plain, made_again = (step(changed(found, remat=remat)) for remat in (False, True))
    for one, other in ((plain.gradient, made_again.gradient), (plain.after, made_again.after)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_remat_keeps_less_than_half_for_the_gradient():
    found, kept = reduced("resnet50"), []
    for remat in (False, True):
        net = state.network(changed(found, remat=remat).model, found.data, CATEGORIES)
        params, statistics = jax.eval_shape(net.init, jax.random.key(0))

        def backward(params, statistics, apply=net.apply):
            def logits(params):
                output, after = apply(params, statistics, drawings(), train=True)
                return output.logits, after

            return jax.vjp(logits, params, has_aux=True)[1]

        needed = jax.tree.leaves(jax.eval_shape(backward, params, statistics))
        kept.append(sum(leaf.size for leaf in needed) - sum(leaf.size for leaf in params.values()))
    assert kept[1] < kept[0] / 2


@cache
def shapes(case: str) -> dict[str, tuple[int, ...]]:
    """Parameters of a preset at its full size."""
    found = full(case)
    net = state.network(found.model, found.data, 40)
    params, _ = jax.eval_shape(net.init, jax.random.key(0))
    return {name: leaf.shape for name, leaf in params.items()}


def count(case: str) -> int:
    return sum(int(np.prod(shape)) for shape in shapes(case).values())


@pytest.mark.parametrize("branch", ["resnet50", "rnn"])
def test_a_branch_trained_alone_has_the_names_it_has_in_the_dsn(branch):
    alone = shapes(branch).items()
    assert alone <= shapes("dsn --model.fusion logits").items()
    trunk = {(name, shape) for name, shape in alone if "head" not in name}
    assert trunk <= shapes("dsn").items()


def bottlenecks(middle: int, groups: int, squeeze: int, blocks: tuple[int, ...]) -> int:
    """Weights of a ResNet of bottlenecks for one channel (He et al. 2015, table 1)."""
    total, inputs = 7 * 7 * 64 + 2 * 64, 64
    for width, several in zip((64, 128, 256, 512), blocks, strict=True):
        inner, features = middle * width, 4 * width
        for block in range(several):
            total += inputs * inner + 9 * inner * inner // groups + inner * features
            total += 2 * (inner + inner + features)  # scales and biases of the norms
            total += 0 if block else inputs * features + 2 * features  # the shortcut
            if squeeze:
                total += 2 * features * (features // squeeze) + features // squeeze + features
            inputs = features
    return total


def basics(blocks: tuple[int, ...]) -> int:
    """Weights of a ResNet of two convolutions a block."""
    total, inputs = 7 * 7 * 64 + 2 * 64, 64
    for width, several in zip((64, 128, 256, 512), blocks, strict=True):
        for _ in range(several):
            total += 9 * inputs * width + 9 * width * width + 4 * width
            total += inputs * width + 2 * width if inputs != width else 0
            inputs = width
    return total


def light(widths: tuple[int, ...]) -> int:
    """Weights of dsn_small's CNN: squares of 4x4 pixels, then a block of each width."""
    total, inputs = 9 * 16 * widths[0] + 2 * widths[0], widths[0]
    for width in widths:
        total += 9 * inputs * width + 9 * width * width + 4 * width
        total += linear(inputs, width) if inputs != width else 0
        inputs = width
    return total


def linear(inputs: int, features: int) -> int:
    return (inputs + 1) * features


CONVOLUTIONS = linear(5 * 3, 48) + linear(5 * 48, 64) + linear(3 * 64, 96)  # of the points


def lstm(inputs: int, hidden: int) -> int:
    return 2 * linear(inputs + hidden, 4 * hidden)  # two directions of four gates


def gru(inputs: int, hidden: int) -> int:
    return 2 * (3 * (inputs + hidden) + 4) * hidden  # and a fourth bias


def meeting(cnn: int, rnn: int, width: int, heads: int) -> int:
    """What joins two branches' tokens: projections, norms, attention and three heads."""
    tokens = linear(cnn, width) + linear(rnn, width) + 4 * width
    return tokens + linear(width, width) + linear(width, heads) + 3 * linear(width, 40)


RESNET50 = bottlenecks(1, 1, 0, (3, 4, 6, 3))
RNN = CONVOLUTIONS + lstm(96, 256)
BASELINE = linear(9, 64) + linear(9 * 64, 128) + linear(9 * 128, 128) + linear(9 * 128, 256)
COUNTS = {
    "cnn": BASELINE + linear(9 * 256, 256) + linear(6 * 6 * 256, 4096) + linear(4096, 40),
    "rnn": RNN + linear(512, 40),
    "rnn --model.rnn.widths 48 64 --model.rnn.kernels 5 5 --model.rnn.strides 1 1 "
    "--model.rnn.no-bidirectional": linear(5 * 3, 48)
    + linear(5 * 48, 64)
    + lstm(64, 256) // 2
    + linear(256, 40),
    "tf_rnn": CONVOLUTIONS + lstm(96, 128) + 2 * lstm(256, 128) + linear(256, 40),
    "resnet50": RESNET50 + linear(2048, 40),
    "resnet50 --model.cnn.blocks 3 4 23 3": bottlenecks(1, 1, 0, (3, 4, 23, 3)) + linear(2048, 40),
    "resnet50 --model.cnn.block basic --model.cnn.blocks 2 2 2 2": basics((2, 2, 2, 2))
    + linear(512, 40),
    "dsn": RESNET50 + RNN + meeting(2048, 512, 512, 8),
    "dsn --model.fusion logits": RESNET50 + RNN + linear(2048, 40) + linear(512, 40) + 40,
    "dsn_plus": RESNET50 + RNN + meeting(2048, 512, 512, 8),
    "dsn_small": light((32, 96, 192)) + CONVOLUTIONS + lstm(96, 96) + meeting(192, 192, 192, 4),
    "dsn_best": bottlenecks(2, 32, 16, (3, 4, 6, 3))
    + CONVOLUTIONS
    + gru(96, 256)
    + gru(512, 256)
    + meeting(2048, 512, 512, 8),
}


@pytest.mark.parametrize("case", COUNTS)
def test_parameters_are_those_of_the_layers(case):
    assert count(case) == COUNTS[case]


def test_counts_are_those_that_others_publish():
    # torchvision's networks end in 1,000 categories and begin with three channels.
    ends, begins = linear(2048, 1000), 7 * 7 * 64 * 2
    assert 25_557_032 - ends - begins == RESNET50
    assert bottlenecks(1, 1, 0, (3, 4, 23, 3)) == 44_549_160 - ends - begins
    assert bottlenecks(2, 32, 0, (3, 4, 6, 3)) == 25_028_904 - ends - begins
    assert basics((2, 2, 2, 2)) == 11_689_512 - linear(512, 1000) - begins
    assert basics((3, 4, 6, 3)) == 21_797_672 - linear(512, 1000) - begins


DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_page_of_models_tells_each_presets_size(preset):
    rows = [row.split("|") for row in DOCS.read_text(encoding="utf-8").splitlines()]
    told = {row[1].strip(" `"): row[2].strip() for row in rows if len(row) > 4}
    assert told[preset] == f"{count(preset):,}"
