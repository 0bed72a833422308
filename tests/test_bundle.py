import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import raster
from dsnjax import bundle, config, measured, predict, settings
from dsnjax.errors import CheckpointError, DataError, UserError
from dsnjax.workdir import Workdir

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


def test_a_bundle_says_what_its_run_says(trained, tmp_path):
    workdir = Workdir(trained)
    model = bundle.from_workdir(workdir)
    bundle.write(model, tmp_path / "model", bundle.card(workdir, model))
    one, other = predict.Recognizer(trained), predict.Recognizer(tmp_path / "model")
    assert other.categories == one.categories
    packed = raster.pack([CAT])
    np.testing.assert_allclose(other.probabilities(packed), one.probabilities(packed), atol=2e-3)
    names = {file.name for file in (tmp_path / "model").iterdir()}
    assert names == {"weights.safetensors", "config.json", "categories.txt", "README.md"}


def test_a_card_tells_what_was_measured(trained):
    card = bundle.card(Workdir(trained), bundle.from_workdir(Workdir(trained)))
    figures = json.loads((trained / "evaluation.json").read_text())
    assert f"{figures['map3']:.4f}" in card
    assert f"{figures['drawings']:,} drawings of the test split" in card


def test_no_card_tells_the_figures_of_another_checkpoint(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    figures = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps(figures | {"step": figures["step"] - 1}))
    model = bundle.from_workdir(Workdir(run))
    assert model.recipe.temperature == 1
    with pytest.raises(CheckpointError, match="its best checkpoint is not evaluated; run dsnjax"):
        bundle.card(Workdir(run), model)


@pytest.mark.parametrize(
    ("model", "alpha", "title", "network"),
    [
        ({}, 0.01, "A Deep Sketch Network", "CNN (light blocks) and bidirectional LSTM, which meet "
         "in their tokens; with center loss"),
        ({"fusion": "logits"}, 0, "A Deep Sketch Network", "CNN (light blocks) and bidirectional "
         "LSTM, which meet in their logits; without center loss"),
        ({"branches": "cnn", "cnn": {"block": "plain"}}, 0, "A CNN of drawings",
         "CNN (plain blocks); without center loss"),
        ({"branches": "rnn", "rnn": {"cell": "gru", "bidirectional": False}}, 0.1,
         "An RNN of drawings", "GRU; with center loss"),
    ],
)  # fmt: skip
def test_a_card_says_what_the_network_is(trained, tmp_path, model, alpha, title, network):
    run = settings.check(config.Config, {"model": model, "loss": {"alpha": alpha}})
    (tmp_path / "config.yaml").write_text(settings.dump(run))
    shipped = replace(bundle.read(bundle.PRETRAINED), figures=measured.figures(trained))
    card = bundle.card(Workdir(tmp_path), shipped)
    assert card.startswith(f"# {title} for 40 categories\n")
    assert f"| network | {network} |\n" in card


@pytest.mark.parametrize(
    ("names", "source"),
    [(("cat", "owl"), "drawings of the Quick, Draw! Dataset"), (("cat", "gizmo"), "the store own")],
)
def test_a_card_credits_whose_drawings_they_are(trained, tmp_path, names, source):
    run = settings.check(config.Config, {"data": {"store": "mine/own"}})
    (tmp_path / "config.yaml").write_text(settings.dump(run))
    figures = measured.figures(trained)
    model = replace(bundle.read(bundle.PRETRAINED), categories=names, figures=figures)
    assert f"| trained on | {source}" in bundle.card(Workdir(tmp_path), model)


def test_a_bundle_does_not_overwrite_other_things(trained, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and no bundle; give a new --dest"):
        bundle.write(bundle.from_workdir(Workdir(trained)), tmp_path, "")


def test_numbers_too_large_for_float16_are_refused_by_the_name_of_their_array(tmp_path):
    model = bundle.read(bundle.PRETRAINED)
    name = "cnn/stem/norm/var"
    model.statistics[name] = np.array([1, 1e5], np.float32)
    with pytest.raises(DataError, match=f"^statistics/{name}: holds 100000, too large for float16"):
        bundle.write(model, tmp_path / "model", "")
    assert not (tmp_path / "model").exists()


@pytest.mark.fault
def test_a_damaged_bundle_is_refused(trained, tmp_path):
    bundle.write(bundle.from_workdir(Workdir(trained)), tmp_path / "model", "")
    weights = tmp_path / "model" / "weights.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-9], whole[:-1] + bytes([whole[-1] ^ 64])):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not the weights that"):
            predict.Recognizer(tmp_path / "model")


def test_a_bundle_of_a_newer_layout_is_refused(trained, tmp_path):
    bundle.write(bundle.from_workdir(Workdir(trained)), tmp_path / "model", "")
    recipe = tmp_path / "model" / "config.json"
    recipe.write_text(recipe.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match=r"layout 2, dsnjax .* reads 1; upgrade it"):
        predict.Recognizer(tmp_path / "model")


@pytest.mark.parametrize("text", ["[]", "5", '"model"', "null"])
def test_a_config_that_holds_no_values_is_no_bundle(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "categories.txt").write_text("cat\n")
    with pytest.raises(UserError, match=r"no model here .*; want a run, or a bundle"):
        bundle.read(tmp_path)


def test_weights_of_other_categories_are_refused(tmp_path):
    for name in ("weights.safetensors", "config.json", "categories.txt"):
        shutil.copy(bundle.PRETRAINED / name, tmp_path)
    (tmp_path / "categories.txt").write_text("cat\ndog\n")
    with pytest.raises(CheckpointError, match=r"for 40 categories, but categories.txt names 2"):
        bundle.read(tmp_path)


def test_a_bundle_has_the_temperature_that_was_fitted_on_validation(trained, tmp_path):
    workdir = Workdir(trained)
    fitted = json.loads((trained / "evaluation.json").read_text())["calibration"]
    model = bundle.from_workdir(workdir)
    assert fitted["fitted_on"] > 0
    assert model.recipe.temperature == fitted["temperature"] != 1
    bundle.write(model, tmp_path / "model", bundle.card(workdir, model))
    assert bundle.read(tmp_path / "model").recipe.temperature == fitted["temperature"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"temperature {fitted['temperature']:.3f}, fitted on {fitted['fitted_on']:,}" in card


def test_a_bundle_from_before_there_were_temperatures_has_none(trained, tmp_path):
    bundle.write(bundle.from_workdir(Workdir(trained)), tmp_path / "model", "")
    recipe = tmp_path / "model" / "config.json"
    values = json.loads(recipe.read_text())
    del values["temperature"]
    recipe.write_text(json.dumps(values))
    assert bundle.read(tmp_path / "model").recipe.temperature == 1
