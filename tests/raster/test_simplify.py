import json

import numpy as np
import pytest

import raster


def test_a_drawing_is_moved_to_the_corner_and_scaled_to_255():
    assert raster.simplify([[[100, 110], [50, 55], [0, 9]]]) == [[[0, 255], [0, 128]]]


def test_points_on_a_line_go():
    xs = np.linspace(3, 60, 20)
    assert raster.simplify([[xs, 2 * xs]]) == [[[0, 128], [0, 255]]]


def test_a_corner_stays():
    assert raster.simplify([[[0, 1, 5], [0, 5, 0]]]) == [[[0, 51, 255], [0, 255, 0]]]


def test_a_wobble_of_less_than_two_goes():
    xs = list(range(256))
    ys = [1.9 * (x % 2) for x in xs]
    assert raster.simplify([[xs, ys]]) == [[[0, 255], [0, 2]]]


def test_a_dot_stays_and_an_empty_stroke_goes():
    assert raster.simplify([[[7], [7]], [[], []]]) == [[[0, 0], [0, 0]]]
    assert raster.simplify([]) == []


def test_times_are_interpolated():
    raw = [[[0, 10, 10], [0, 0, 10], [0, 100, 300]]]
    assert raster.simplify(raw, times=True) == [[[0, 255, 255], [0, 0, 255], [0, 100, 300]]]


@pytest.mark.parametrize(
    ("raw", "times", "message"),
    [
        ([[[0, float("nan")], [0, 1]]], False, "NaN, infinite or beyond"),
        ([[[0, 1], [0]]], False, r"lengths \[2, 1\]; want equal ones"),
        ([[[0, 1]]], False, r"lengths \[2\]"),
        ([[]], False, r"lengths \[\]; want equal ones"),
        ([[[0, 1], [0, 1]]], True, "a stroke has no times"),
    ],
)
def test_what_is_no_drawing_is_refused(raw, times, message):
    with pytest.raises(ValueError, match=message):
        raster.simplify(raw, times)


def rows(folder):
    for file in sorted(folder.glob("*.ndjson")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if '"key_id"' in line:
                row = json.loads(line)
                yield row["key_id"], row["drawing"]


@pytest.mark.real
def test_most_drawings_come_out_as_googles(quickdraw):
    raw = dict(rows(quickdraw / "full" / "raw"))
    pairs = [(raw[key], d) for key, d in rows(quickdraw / "full" / "simplified") if key in raw]
    same = np.mean([raster.simplify(mine) == theirs for mine, theirs in pairs])
    assert len(pairs) > 4000
    assert same >= 0.93
