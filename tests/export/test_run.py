import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import raster
from dsnjax import bundle, main
from dsnjax.compiled import Compiled
from dsnjax.data.inputs import inputs
from dsnjax.errors import Trouble
from dsnjax.export import onnx as to_onnx
from dsnjax.export import parity, stablehlo
from dsnjax.export.session import Session
from dsnjax.serve import runtime

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture(scope="module")
def model():
    return bundle.read(bundle.PRETRAINED)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(parity, "DRAWINGS", 32)


def test_a_command_exports_compares_and_says_so(few, tmp_path, capsys):
    dest = tmp_path / "new"
    assert main.main(["export", "--to", "onnx", "--dest", str(dest)]) == 0
    size, said = capsys.readouterr().out.splitlines()
    assert size.startswith(f"{dest}/model.onnx: 3.")
    assert "parity: 32 made-up drawings, largest difference of a logit" in said
    assert "MAP@3 1.0000 -> 1.0000 (against the network's first guess)" in said
    about = json.loads((dest / "model.json").read_text())
    assert about == Session(dest / "model.onnx").about.model_dump(mode="json")


@pytest.mark.slow
def test_stablehlo_says_what_the_network_says_for_any_number_of_drawings(model, tmp_path):
    program = jax.export.deserialize(bytearray(stablehlo.build(model)))
    assert set(program.platforms) == {"cpu", "cuda"}
    for count in (1, 3):
        shown = inputs(raster.pack([CAT] * count), model.recipe.data)
        found = program.call(shown["image"], shown["points"], shown["length"])
        expected = Compiled(model).logits(raster.pack([CAT] * count))
        np.testing.assert_allclose(found["logits"], expected, atol=1e-5)
        assert set(found) == {"probabilities", "logits", "attention"}


@pytest.mark.slow
def test_stablehlo_wants_no_extra(trained, tmp_path):
    code = f"""
import sys
sys.modules |= dict.fromkeys(["onnx", "onnxruntime"])
from dsnjax import main
words = ["--workdir", {str(trained)!r}, "--to", "stablehlo", "--dest", {str(tmp_path)!r}]
sys.exit(main.main(["export", *words]))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    about = json.loads((tmp_path / "model.json").read_text())
    assert (about["grid"], about["stride"]) == ([4, 4], 2)


def test_an_export_that_says_something_else_is_not_let_pass(model, few):
    other = dict(model.params)
    other["head/bias"] = np.asarray(other["head/bias"]) + np.eye(40)[0] * -0.01
    session = Session(to_onnx.build(dataclasses.replace(model, params=other)))
    found = parity.compare(model, session.logits, parity.made_up())
    assert found.difference == pytest.approx(0.01, rel=0.01)
    with pytest.raises(Trouble, match=r"want at most 0.001 .* with float32; nothing was written"):
        found.check("float32")
    found.check("float16")


def test_a_number_that_is_none_is_not_let_pass(model):
    drawings = parity.Drawings(raster.pack([CAT]), None, "drawing")
    found = parity.compare(model, lambda packed: np.full((1, 40), np.nan), drawings)
    with pytest.raises(Trouble):
        found.check("int8")


@pytest.fixture
def unbuilt(monkeypatch):
    """Fails where a network is built: what is refused is refused before."""
    for builder in (to_onnx, stablehlo):
        monkeypatch.delattr(builder, "build")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "stablehlo", "--precision", "int8"], "stablehlo is written in float32"),
        (["--workdir", "a", "--model", "b"], "are both given; want one"),
        (["--model", "nowhere"], "nowhere: no model here"),
    ],
)
def test_what_cannot_be_exported_is_said(words, message, unbuilt, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["export", *words, "--dest", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_site_has_the_model_that_was_compared(model, few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "there", lambda: True)  # no browser runs it here
    dest = tmp_path / "site"
    assert main.main(["export", "--to", "site", "--dest", str(dest)]) == 0
    assert "parity: 32 made-up drawings" in capsys.readouterr().out
    assert (dest / "index.html").is_file()
    packed, session = raster.pack([CAT]), Session(dest / "model.onnx")
    np.testing.assert_allclose(session.logits(packed), Compiled(model).logits(packed), atol=1e-4)
    about = json.loads((dest / "model.json").read_text())
    assert about["categories"] == list(model.categories)


@pytest.mark.parametrize("kind", ["onnx", "stablehlo", "site"])
def test_a_file_in_the_place_of_the_folder_is_said(kind, unbuilt, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main.main(["export", "--to", kind, "--dest", str(tmp_path / "file")]) == 2
    assert "a file; want a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fetched", "levels", "message"),
    [
        (False, ("order",), "what runs models in browsers is not here; fetch it: dsnjax runtime"),
        (True, ("time",), "this model reads times, which the page cannot draw; serve it"),
        (True, ("order",), "not empty and no site; give a new folder"),
    ],
)
def test_a_site_that_cannot_be_is_said(
    fetched, levels, message, model, unbuilt, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(runtime, "there", lambda: fetched)
    recipe = model.recipe
    data = recipe.data.model_copy(update={"levels": levels})
    recipe = recipe.model_copy(update={"data": data})
    bundle.write(dataclasses.replace(model, recipe=recipe), tmp_path / "model", "")
    words = ["--model", str(tmp_path / "model"), "--to", "site", "--dest", str(tmp_path)]
    assert main.main(["export", *words]) == 2
    assert message in capsys.readouterr().err
