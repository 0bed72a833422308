import io
import json

import numpy as np
import pytest

import raster
from dsnjax import bundle, predict, train
from dsnjax.errors import CheckpointError, UserError
from dsnjax.workdir import Workdir

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("predict") / "run"
    once = tiny.model_copy(update={"run": tiny.run.model_copy(update={"epochs": 1})})
    train.train(once, Workdir(path))
    return path


@pytest.fixture(scope="module")
def recognizer(run):
    return predict.Recognizer(run)


def test_the_likeliest_come_first_and_all_sum_to_one(recognizer):
    (top,) = recognizer.predict([CAT], top=14)
    chances = [one["probability"] for one in top]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1, abs=1e-2)
    assert {one["category"] for one in top} == set(recognizer.categories)


def test_a_drawing_is_named_alike_alone_and_among_others(recognizer):
    many = [CAT, *([[[[5, 9], [9, 5]]]] * 299)]
    np.testing.assert_allclose(
        recognizer.probabilities(raster.pack([CAT]))[0],
        recognizer.probabilities(raster.pack(many))[0],
        atol=1e-5,
    )


def test_no_drawings_are_no_answers(recognizer):
    assert recognizer.predict([]) == []


def test_every_row_is_answered_in_order_also_a_bad_one(recognizer, tmp_path, monkeypatch):
    rows = [
        json.dumps({"key_id": "12", "drawing": CAT}),
        '{"drawing": [[[0, 300], [0, 1]]]}',
        json.dumps({"drawing": CAT}),
        "{",
    ]
    (tmp_path / "a.ndjson").write_text("\n".join(rows))
    found = list(predict.rows(recognizer, [tmp_path / "a.ndjson"]))
    assert [one["key_id"] for one in found] == ["12", None, None, None]
    assert [len(one["top"]) for one in found] == [3, 0, 3, 0]
    assert "a.ndjson:2: range" in found[1]["error"]
    assert found[0]["top"] == found[2]["top"]
    stdin = io.TextIOWrapper(io.BytesIO(rows[0].encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(predict.rows(recognizer, ["-"])) == found[:1]


def test_a_bundle_says_what_its_run_says(recognizer, run, tmp_path):
    workdir = Workdir(run)
    model = bundle.from_workdir(workdir)
    bundle.write(model, tmp_path / "model", bundle.card(workdir, model))
    other = predict.Recognizer(tmp_path / "model")
    assert other.categories == recognizer.categories
    packed = raster.pack([CAT])
    np.testing.assert_allclose(
        other.probabilities(packed), recognizer.probabilities(packed), atol=2e-3
    )
    names = {file.name for file in (tmp_path / "model").iterdir()}
    assert names == {"weights.safetensors", "config.json", "categories.txt", "README.md"}


def test_a_card_tells_what_was_measured(run):
    card = bundle.card(Workdir(run), bundle.from_workdir(Workdir(run)))
    figures = json.loads((run / "evaluation.json").read_text())
    assert f"{figures['map3']:.4f}" in card
    assert f"{figures['drawings']:,} drawings of the test split" in card


def test_a_bundle_does_not_overwrite_other_things(run, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not empty and no bundle; give a new --dest"):
        bundle.write(bundle.from_workdir(Workdir(run)), tmp_path, "")


@pytest.mark.fault
def test_a_damaged_bundle_is_refused(run, tmp_path):
    bundle.write(bundle.from_workdir(Workdir(run)), tmp_path / "model", "")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        predict.Recognizer(tmp_path / "model")


def test_a_bundle_of_a_newer_layout_is_refused(run, tmp_path):
    bundle.write(bundle.from_workdir(Workdir(run)), tmp_path / "model", "")
    recipe = tmp_path / "model" / "config.json"
    recipe.write_text(recipe.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match=r"layout 2, dsnjax .* reads 1; upgrade it"):
        predict.Recognizer(tmp_path / "model")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no model here"):
        predict.Recognizer(tmp_path)
