import functools
import json

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

import raster
from dsnjax import bundle, compiled, config, presets, settings, state
from dsnjax.errors import DataError
from dsnjax.export import onnx as to_onnx
from dsnjax.export.about import About
from dsnjax.export.session import Session

CATEGORIES = ("cat", "hot dog", "<b>", "crayón")
SMALL = {"image_size": 32, "length": 24}


def made(model: dict, data: dict | None = None) -> bundle.Bundle:
    """A bundle of a network with random weights and statistics."""
    recipe = settings.check(
        bundle.Recipe, {"model": model, "data": SMALL | (data or {}), "temperature": 1.5}
    )
    network = state.network(recipe.model, recipe.data, len(CATEGORIES))
    rng = np.random.default_rng(0)

    def moved(arrays):
        drawn = {
            name: 0.3 * rng.normal(size=one.shape).astype(np.float32)
            for name, one in arrays.items()
        }
        return {
            name: np.abs(one) + 0.5 if name.endswith("var") else one for name, one in drawn.items()
        }

    shapes = jax.eval_shape(network.init, jax.random.key(0))
    params, statistics = map(moved, shapes)
    return bundle.Bundle(recipe, CATEGORIES, params, statistics)


def shrunk(preset: str) -> dict:
    """The model of a preset, with all of its parts and few weights."""
    values = yaml.safe_load((presets.folder() / f"{preset}.yaml").read_text()).get("model", {})
    full = config.Model.model_validate(values).model_dump()
    cnn, rnn = full["cnn"], full["rnn"]
    cnn["widths"] = [8 * cnn["groups"] // min(cnn["groups"], 4) for _ in cnn["widths"]]
    cnn["groups"] = min(cnn["groups"], 4)
    cnn |= {"squeeze": min(cnn["squeeze"], 4), "dense": min(cnn["dense"], 8)}
    cnn["blocks"] = [min(count, 2) for count in cnn["blocks"]]
    rnn |= {"widths": [8 for _ in rnn["widths"]], "hidden": 8}
    return full | {"width": 4 * full["heads"], "dtype": "float32", "remat": False}


def compare(model: bundle.Bundle, bound: float = 1e-4) -> onnxruntime.InferenceSession:
    """Runs both at several numbers of drawings and points, of which some have 0, 1 and all."""
    session = onnxruntime.InferenceSession(to_onnx.build(model))
    rng, data = np.random.default_rng(1), model.recipe.data
    apply = jax.jit(functools.partial(compiled.network(model).apply, train=False))
    for b, t in ((1, 1), (3, 24)):
        shape = (b, data.image_size, data.image_size, len(data.levels))
        batch = {
            "image": rng.integers(0, 256, shape, dtype=np.uint8),
            "points": rng.normal(size=(b, t, 3)).astype(np.float32),
            "length": np.array([1, t, 0][:b], np.int32),
        }
        expected, _ = apply(model.params, model.statistics, batch)
        given = {one.name: batch[one.name] for one in session.get_inputs()}
        names = [one.name for one in session.get_outputs()]
        found = dict(zip(names, map(np.asarray, session.run(names, given)), strict=True))
        np.testing.assert_allclose(found["logits"], expected.logits, atol=bound)
        chances = jax.nn.softmax(expected.logits / 1.5)
        np.testing.assert_allclose(found["probabilities"], chances, atol=bound)
        if "attention" in found:
            mean = np.mean(expected.attention, axis=-1)
            np.testing.assert_allclose(found["attention"], mean, atol=bound)
        if "branches" in found:
            np.testing.assert_allclose(found["branches"], expected.attention[..., 0], atol=bound)
    return session


PRESETS = sorted(file.stem for file in presets.folder().glob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_the_same_as_onnx(preset):
    compare(made(shrunk(preset)))


CNN = {"widths": [8, 12], "blocks": [2, 1]}
RNN = {"widths": [8, 12], "kernels": [5, 4], "strides": [1, 2], "hidden": 8}


@pytest.mark.parametrize(
    "cnn",
    [
        {"block": "plain", "stem": 1, "dense": 8},
        {"block": "plain", "stem": 2},
        {"block": "light", "squeeze": 4},
        {"block": "basic", "stem": 0, "squeeze": 4},
        {"block": "bottleneck", "stem": 0, "groups": 4, "middle": 2, "squeeze": 4},
    ],
    ids=lambda cnn: "-".join(map(str, cnn.values())),
)
def test_every_block_says_the_same_as_onnx(cnn):
    # 36 pixels are odd after the second halving: what stands beyond a border shows.
    compare(made({"branches": "cnn", "cnn": CNN | cnn}, {"image_size": 36}))


@pytest.mark.parametrize("pool", ["mean", "last", "sum", "attention"])
@pytest.mark.parametrize(
    "rnn",
    [{"cell": "lstm", "layers": 2}, {"cell": "gru", "bidirectional": False, "activation": "none"}],
    ids=["lstm", "gru"],
)
def test_every_reading_of_points_says_the_same_as_onnx(rnn, pool):
    session = compare(made({"branches": "rnn", "rnn": RNN | rnn | {"pool": pool}}))
    assert [one.name for one in session.get_inputs()] == ["points", "length"]


@pytest.mark.parametrize("fusion", ["tokens", "logits"])
def test_both_fusions_say_the_same_and_what_they_weighed(fusion):
    rnn = RNN | {"cell": "gru", "layers": 2}
    data = {"levels": ["order", "time"]}
    model = {"fusion": fusion, "cnn": CNN, "rnn": rnn, "width": 16, "heads": 4}
    session = compare(made(model, data))
    weighed = {"tokens": "attention", "logits": "branches"}[fusion]
    assert weighed in [one.name for one in session.get_outputs()]


def test_a_file_says_what_must_be_known_to_use_it():
    model = made({"cnn": CNN, "rnn": RNN, "width": 16})
    exported = to_onnx.build(model)
    found = onnx.load_model_from_string(exported)
    said = {one.key: one.value for one in found.metadata_props}
    assert json.loads(said["categories"]) == list(CATEGORIES)
    assert json.loads(said["image_size"]) == 32
    assert json.loads(said["grid"]) == [8, 8]
    assert (said["temperature"], said["precision"]) == ("1.5", "float32")
    assert len(said["config_sha256"]) == 64
    assert found.opset_import[0].version == 17
    assert Session(exported).about == About.of(model)


def test_what_is_too_large_for_float16_is_refused():
    model = made({"cnn": CNN, "rnn": RNN | {"hidden": 64}, "width": 64})
    name = max(model.params, key=lambda name: model.params[name].size)
    model.params[name][0] = 1e6
    with pytest.raises(
        DataError, match=r"holds 1e\+06, too large for float16; export it in float32"
    ):
        to_onnx.build(model, "float16")


@pytest.mark.parametrize(
    ("precision", "share", "bound"), [("float16", 0.6, 0.01), ("int8", 0.4, 0.1)]
)
def test_smaller_files_say_nearly_the_same(precision, share, bound):
    model = made({"cnn": CNN | {"widths": [32, 64]}, "rnn": RNN | {"hidden": 64}, "width": 64})
    whole, small = (to_onnx.build(model, one) for one in ("float32", precision))
    assert len(small) < share * len(whole)
    packed = raster.pack([[[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]])
    one, other = (Session(file).probabilities(packed) for file in (whole, small))
    np.testing.assert_allclose(other, one, atol=bound)
