"""From drawings saved on the page to a model that knows them."""

import os
import subprocess
import sys

import httpx2
import numpy as np
import pytest

from dsnjax.predict import Recognizer

NAMES = ("zig zag", "my house")


def drawing(name: str, rng: np.random.Generator) -> list:
    """One drawing as the page sends it, a little different each time."""
    shapes = {
        "zig zag": [[[10, 70, 130, 190, 240], [30, 200, 40, 210, 30]]],
        "my house": [
            [[30, 30, 220, 220, 30], [110, 240, 240, 110, 110]],
            [[20, 125, 235], [110, 10, 110]],
        ],
    }
    return [
        [(np.array(column) + rng.integers(-9, 10, len(column))).tolist() for column in stroke]
        for stroke in shapes[name]
    ]


def dsnjax(*words: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dsnjax.main", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_saved_drawings_teach_a_model_new_names(gate, serving, tmp_path):
    rng = np.random.default_rng(0)
    own, store, run = (str(tmp_path / name) for name in ("own", "store", "run"))
    with serving(gate, collect=tmp_path / "own") as address, httpx2.Client() as client:
        for name in NAMES * 30:
            row = {"category": name, "drawing": drawing(name, rng)}
            assert client.post(f"{address}/v1/collect", json=row).status_code == 200

    dsnjax("prepare", own, "--store", store, "--jobs", "1")
    words = ["--init-from", "pretrained", "--data.store", store, "--workdir", run]
    dsnjax("train", *words, "--data.batch-size", "16", "--run.epochs", "4")

    named = Recognizer(run).predict([drawing(name, rng) for name in NAMES], top=1)
    assert [top[0]["category"] for top in named] == list(NAMES)
