import numpy as np

from dsnjax.report import strokes


def test_a_drawing_is_one_path_of_its_strokes():
    svg = strokes.svg([[[0, 10, 5], [0, 0, 5]], [[7], [8]]])
    assert '<path d="M0 0l10+0 -5+5M7 8l0+0"/>' in svg


def test_a_heavy_stroke_is_marked():
    svg = strokes.svg([[[0, 1], [0, 1]], [[2, 3], [2, 3]]], weight=[1.0, 0.25])
    assert 'style="opacity:1.00" d="M0 0l1+1"' in svg
    assert 'style="opacity:0.25" d="M2 2l1+1"' in svg


def test_places_that_weigh_nothing_are_left_out():
    svg = strokes.svg([[[0, 1], [0, 1]]], grid=np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert svg.count("<rect") == 1
    assert 'x="127.5" y="127.5" width="127.5"' in svg
