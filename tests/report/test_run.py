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


def zeroed(path):
    data = bytearray(path.read_bytes())
    packed = data.index(b"rank.npy") + 28  # the name, then 20 bytes of sizes
    data[packed : packed + 16] = bytes(16)
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_ranks(path):
    arrays = dict(np.load(path))
    del arrays["rank"]
    np.savez_compressed(path, **arrays)


def lost(path):
    path.unlink()


@pytest.mark.parametrize("damage", [zeroed, cut, without_ranks, lost])
def test_answers_that_cannot_be_read_are_none(again, damage):
    path = again / measured.PREDICTIONS
    assert measured.answers(again)["rank"].shape == (measured.figures(again)["drawings"],)
    damage(path)
    assert measured.answers(again) == {}


def test_damaged_answers_are_made_again(again, trained):
    zeroed(again / measured.PREDICTIONS)
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
