import json
import shutil

import numpy as np
import pytest

from dsnjax import measured
from dsnjax.report import run


@pytest.fixture
def again(trained, tmp_path):
    """A run that may be changed."""
    return shutil.copytree(trained, tmp_path / "run")


def test_damaged_answers_are_made_again(again, trained):
    path = again / measured.PREDICTIONS
    path.write_bytes(path.read_bytes()[:-100])
    said, before = run.load(again).said, measured.answers(trained)
    assert all(np.array_equal(said[name], before[name]) for name in measured.ARRAYS)


def test_a_run_trained_on_since_it_was_evaluated_is_evaluated_again(again, trained):
    told = measured.figures(trained)
    old = told | {"map3": 0.0, "steps_left": 4}
    (again / measured.FILE).write_text(json.dumps(old))
    assert run.load(again).figures == told


def test_a_run_is_evaluated_once(again, trained):
    told = measured.figures(trained) | {"map3": 0.125}
    (again / measured.FILE).write_text(json.dumps(told))
    assert run.load(again).figures["map3"] == 0.125
