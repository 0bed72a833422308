import gzip
import json
import re
import shutil
import struct
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raster
from dsnjax import commands, pictures, predict
from dsnjax.compiled import Compiled
from dsnjax.data import formats
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


@pytest.mark.parametrize("fit", [False, True])
def test_a_drawing_without_a_stroke_has_no_name(recognizer, fit):
    with pytest.raises(UserError, match="a drawing without a stroke"):
        recognizer.predict([[[[0, 9], [0, 9]]], []], fit=fit)


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
    (tmp_path / "first").write_text(rows[0])
    with (tmp_path / "first").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert list(predict.rows(recognizer, ["-"])) == found[:1]


def test_a_standard_input_that_is_closed_is_said_in_one_line():
    words = f"{sys.executable} -m dsnjax.main predict <&-"
    run = subprocess.run(words, shell=True, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr == "dsnjax: no standard input here; give a file of drawings\n"


def test_sigterm_ends_it_at_once_though_more_rows_may_come():
    words = [sys.executable, "-m", "dsnjax.main", "predict"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin and process.stdout and process.stderr
    try:
        for _ in range(16):  # its first chunk
            process.stdin.write(json.dumps({"drawing": CAT}).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(60) == 75
        assert process.stderr.read() == b"dsnjax: interrupted; the same command goes on\n"
    finally:
        process.kill()
        process.communicate()


def test_files_of_every_form_name_the_same_drawing_alike(recognizer, tmp_path):
    strokes = json.dumps(CAT)
    timed = [[xs, ys, [*range(len(xs))]] for xs, ys in CAT]
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(f'{{"drawing": {strokes}}}'.encode()))
    (tmp_path / "test.csv").write_text(f'key_id,countrycode,drawing\n9,DE,"{strokes}"\n')
    train = f'DE,"{strokes}",9,True,2017-01-01 00:00:00,cat\n'
    (tmp_path / "train.csv").write_text(
        f"countrycode,drawing,key_id,recognized,timestamp,word\n{train}"
    )
    (tmp_path / "raw.ndjson").write_text(json.dumps({"drawing": timed}))
    body = b"".join(bytes([len(xs), 0, *xs, *ys]) for xs, ys in CAT)
    (tmp_path / "a.bin").write_bytes(struct.pack("<Q2sBIH", 9, b"DE", 1, 0, 2) + body)
    (tmp_path / "a.svg").write_text(pictures.svg(CAT, 96, 2))
    names = ("a.ndjson.gz", "test.csv", "train.csv", "a.bin", "raw.ndjson", "a.svg")
    found = list(predict.rows(recognizer, [tmp_path / name for name in names]))
    assert [one["key_id"] for one in found] == [None, "9", "9", "9", None, None]
    assert len({json.dumps(one["top"]) for one in found[:4]}) == 1
    assert len({json.dumps(one["top"]) for one in found[4:]}) == 1  # both simplified anew


def test_test_time_augmentation_names_a_drawing_and_its_mirror_image_alike(trained, tmp_path):
    recognizer, plain = predict.Recognizer(trained, tta=True), predict.Recognizer(trained)
    mirror = [[[255 - x for x in xs], ys] for xs, ys in CAT]
    said, alone = (one.probabilities(raster.pack([CAT, mirror])) for one in (recognizer, plain))
    np.testing.assert_allclose(said[0], said[1], atol=1e-6)
    mean = np.sqrt(alone[0] * alone[1])
    np.testing.assert_allclose(said[0], mean / mean.sum(), atol=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)


def test_own_coordinates_are_named_as_the_drawing_made_to_fit(recognizer):
    far = [[[1000 + 3 * x for x in xs], [3 * y - 500 for y in ys]] for xs, ys in CAT]
    with pytest.raises(UserError, match=r"coordinates from -500 to 1765; want 0 to 255, or fit"):
        recognizer.predict([far])
    assert recognizer.predict([far], fit=True) == recognizer.predict([CAT], fit=True)


def test_what_it_is_not_sure_of_is_unknown(recognizer):
    (sure,) = recognizer.predict([CAT], min_probability=0)
    (unsure,) = recognizer.predict([CAT], min_probability=1)
    assert unsure == [{"category": "unknown", "probability": sure[0]["probability"]}, *sure]


def test_an_unfinished_drawing_is_named_after_each_stroke(recognizer, tmp_path):
    (tmp_path / "a.ndjson").write_text(json.dumps({"drawing": CAT}))
    (found,) = predict.rows(recognizer, [tmp_path / "a.ndjson"], predict.Wanted(each_stroke=True))
    assert len(found["strokes"]) == 2
    assert found["strokes"][-1] == found["top"] == recognizer.predict([CAT])[0]
    assert found["strokes"][0] == recognizer.predict_strokes(CAT)[0]


def test_a_person_is_shown_what_was_named_after_each_stroke(recognizer, tmp_path):
    (tmp_path / "a.ndjson").write_text(json.dumps({"key_id": "7", "drawing": CAT}))
    (found,) = predict.rows(
        recognizer, [tmp_path / "a.ndjson"], predict.Wanted(top=1, each_stroke=True)
    )
    heads = [line.split("  ")[-2].strip() for line in commands.table_row(found).splitlines()]
    assert heads == ["stroke 1", "7"]


@settings(max_examples=30)
@given(st.binary(max_size=60))
def test_any_bytes_are_answered(recognizer, tmp_path_factory, text):
    file = tmp_path_factory.mktemp("any") / "a.ndjson"
    file.write_bytes(text + b"\n" + json.dumps({"drawing": CAT}).encode())
    *others, last = predict.rows(recognizer, [file])
    assert all(one["error"] for one in others)
    assert last["top"]


def test_a_network_that_is_shown_times_says_which_row_has_none():
    row = formats.Drawing([([1], [2])])
    assert str(predict._untimed(row, 7)).startswith("row:7: times")


def test_a_bundle_is_used_without_loading_jax():
    code = f"""
import sys
from dsnjax.predict import Recognizer

print(len(Recognizer().predict([{CAT}])), "jax" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "False"]


@pytest.mark.parametrize(("name", "module"), [("onnx", None), ("jax_plugins", types)])
def test_jax_runs_where_onnx_is_not_installed_or_an_accelerator_is(name, module, monkeypatch):
    usual = predict.Recognizer().predict([CAT])[0]
    monkeypatch.setitem(sys.modules, name, module)
    recognizer = predict.Recognizer()
    assert isinstance(recognizer._network, Compiled)
    (named,) = recognizer.predict([CAT])
    assert [one["category"] for one in named] == [one["category"] for one in usual]
    for here, there in zip(named, usual, strict=True):
        assert here["probability"] == pytest.approx(there["probability"], abs=1e-3)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no model here"):
        predict.Recognizer(tmp_path)
