import json
import shutil

import pytest

from dsnjax import evaluate
from dsnjax.data import batches
from dsnjax.errors import CheckpointError, UserError
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


def test_another_split_leaves_the_figures_of_the_test_split(trained):
    before = (trained / "evaluation.json").read_text()
    assert evaluate.evaluate(Workdir(trained), split="valid")["split"] == "valid"
    assert (trained / "evaluation.json").read_text() == before


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
