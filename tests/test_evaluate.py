import json
import shutil

import numpy as np
import pytest
import yaml

from dsnjax import calibration, evaluate, measured, stop, train
from dsnjax.commands import headline
from dsnjax.data import batches
from dsnjax.errors import CheckpointError, Interrupted, UserError
from dsnjax.predict import Recognizer
from dsnjax.workdir import Workdir


def test_every_test_drawing_counts_once(trained):
    workdir = Workdir(trained)
    figures = evaluate.evaluate(workdir)
    rows = batches.rows(workdir.store(), workdir.config().data)["test"]
    assert figures["drawings"] == len(rows) == sum(map(sum, figures["confusion"]))
    assert sum(one["drawings"] for one in figures["per_category"].values()) == len(rows)


def test_figures_name_their_protocol(trained):
    figures = json.loads((trained / "evaluation.json").read_text())
    assert figures["protocol"] == Workdir(trained).config().data.protocol()


def test_evaluating_again_gives_what_the_run_said(trained):
    before = json.loads((trained / "evaluation.json").read_text())
    assert evaluate.evaluate(Workdir(trained)) == before


@pytest.mark.slow
def test_a_run_compiles_once_what_it_validates_and_tests_with(tiny, tmp_path, monkeypatch):
    make, made = evaluate.make_eval_step, []
    monkeypatch.setattr(evaluate, "make_eval_step", lambda *on: made.append(make(*on)) or made[-1])
    figures = train.train(tiny, Workdir(tmp_path / "run"))
    assert figures["calibration"]["fitted_on"] > 0
    assert [step._cache_size() for step in made] == [1]


def test_calibration_is_fitted_on_no_more_drawings_than_it_wants(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.setattr(calibration, "MOST", 1)
    figures = evaluate.evaluate(Workdir(tmp_path / "run"))
    assert figures["calibration"]["fitted_on"] == 1
    kept = np.load(tmp_path / "run" / measured.PREDICTIONS)
    assert kept["rank"].shape == (figures["drawings"],)


def test_a_step_that_a_run_saves_beside_it_is_none_of_what_was_measured(
    trained, tmp_path, monkeypatch
):
    run = Workdir(shutil.copytree(trained, tmp_path / "run"))
    restore = Workdir.restore

    def restored(workdir, devices):
        found = restore(workdir, devices)
        (workdir.path / "checkpoints" / "99.json").write_text("{}")
        return found

    monkeypatch.setattr(Workdir, "restore", restored)
    assert evaluate.evaluate(run) == measured.figures(trained)


@pytest.mark.slow
def test_an_evaluated_run_that_was_not_finished_goes_on(trained, tmp_path):
    run = Workdir(tmp_path / "run")
    shutil.copytree(trained, run.path)
    begun = yaml.safe_load((run.path / "config.yaml").read_text())
    begun["run"]["epochs"] += 1
    (run.path / "config.yaml").write_text(yaml.safe_dump(begun))
    left = evaluate.evaluate(run)["steps_left"]
    assert left > 0
    figures = train.train(run.config(), run)
    assert figures["steps_left"] == 0
    assert run.checkpoints().steps()[-1] == Workdir(trained).checkpoints().steps()[-1] + left


def test_the_probabilities_that_are_kept_are_those_that_predict_says(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    run = Workdir(tmp_path / "run")
    assert evaluate.evaluate(run)["calibration"]["temperature"] != 1
    kept = np.load(run.path / measured.PREDICTIONS)
    said = Recognizer(run.path).probabilities(run.store().take(kept["row"]))
    best = np.take_along_axis(said, kept["top"].astype(int), axis=1)
    np.testing.assert_allclose(kept["probability"], best, atol=1e-4)


def test_another_split_leaves_the_figures_of_the_test_split(trained):
    before = (trained / "evaluation.json").read_text()
    assert evaluate.evaluate(Workdir(trained), split="valid")["split"] == "valid"
    assert (trained / "evaluation.json").read_text() == before


@pytest.mark.parametrize("split", ["test", "valid"])  # the first of which is calibrated before
def test_it_stops_before_the_next_batch_and_writes_nothing(trained, tmp_path, split):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").unlink()
    asked = stop.Stop()
    asked.signals = 1

    def step(*given, **named):
        pytest.fail("a batch was looked at")

    with pytest.raises(Interrupted, match="stopped while evaluating; what is trained lies in"):
        evaluate.evaluate(Workdir(tmp_path / "run"), split=split, step=step, stop=asked)
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_test_time_augmentation_is_measured_as_predict_does_it_and_not_kept(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    run = Workdir(tmp_path / "run")
    before = (run.path / "evaluation.json").read_text()
    figures = evaluate.evaluate(run, tta=True)
    assert (run.path / "evaluation.json").read_text() == before
    assert figures["views"] == 2 and "calibration" not in figures
    assert f"{figures['drawings']} drawings, 2 views of each, step" in headline(figures, run.path)
    rows = batches.rows(run.store(), run.config().data)["test"]
    said = Recognizer(run.path, tta=True).probabilities(run.store().take(rows))
    label = run.store().label[rows]
    assert figures["accuracy"] == pytest.approx((said.argmax(1) == label).mean())
    alone = json.loads(before)
    assert figures["confusion"] != alone["confusion"] and figures["loss"] != alone["loss"]


def test_a_run_without_a_checkpoint_is_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(CheckpointError, match="no checkpoint; train there first"):
        evaluate.evaluate(Workdir(tmp_path / "run"))


def test_an_empty_split_is_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace("valid: 0.1", "valid: 0.0"))
    with pytest.raises(UserError, match=r"no drawing in the valid split; see --data\.split"):
        evaluate.evaluate(Workdir(tmp_path / "run"), split="valid")
