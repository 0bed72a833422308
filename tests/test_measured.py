import shutil

import numpy as np
import pytest

from dsnjax import measured


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
def test_answers_that_cannot_be_read_are_none(trained, tmp_path, damage):
    again = shutil.copytree(trained, tmp_path / "run")
    path = again / measured.PREDICTIONS
    assert measured.answers(again)["rank"].shape == (measured.figures(again)["drawings"],)
    damage(path)
    assert measured.answers(again) == {}
