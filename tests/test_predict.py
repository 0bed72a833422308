import io
import json
import re
import shutil

import numpy as np
import pytest

import raster
from dsnjax import predict
from dsnjax.errors import UserError

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture(scope="module")
def recognizer(trained):
    return predict.Recognizer(trained)


def test_the_likeliest_come_first_and_all_sum_to_one(recognizer):
    (top,) = recognizer.predict([CAT], top=100)
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


def test_a_run_is_used_without_the_drawings_it_was_trained_on(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(re.sub("store: .*", "store: /nowhere", file.read_text()))
    assert len(predict.Recognizer(tmp_path / "run").predict([CAT])[0]) == 3


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


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no model here"):
        predict.Recognizer(tmp_path)
