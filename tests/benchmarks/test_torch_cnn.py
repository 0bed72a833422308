import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch, the rival, is not installed")
pytest.importorskip("cv2", reason="OpenCV, which draws for it, is not installed")
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
torch_cnn = importlib.import_module("torch_cnn")


def test_the_map3_of_a_drawing_is_one_over_the_place_of_its_label():
    chances = np.array([[0.4, 0.3, 0.2, 0.1]] * 4)
    assert torch_cnn.reciprocal(chances, np.arange(4)).tolist() == [1, 1 / 2, 1 / 3, 0]


def test_a_kept_answer_is_compared_without_training_again(made_up, tmp_path, monkeypatch):
    words = [
        "torch_cnn",
        "--store",
        str(made_up),
        "--epochs",
        "1",
        "--keep",
        str(tmp_path / "kept.npy"),
    ]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(tmp_path / "told.json")])
    first, second = [(torch_cnn.main(), (tmp_path / "told.json").read_text()) for _ in range(2)]
    assert first == second
    told = json.loads(first[1])["PyTorch's CNN"]
    assert told["all rows"]["low"] <= told["all rows"]["value"] <= told["all rows"]["high"]
    assert told["filtered rows"]["count"] < told["all rows"]["count"]
