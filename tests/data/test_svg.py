import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsnjax.data import formats, svg


def drawn(inside: str) -> list:
    text = f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>'
    return [[*zip(*stroke, strict=True)] for stroke in svg.strokes(text.encode())]


@pytest.mark.parametrize(
    ("d", "expected"),
    [
        ("M1 2L3,4", [[(1, 2), (3, 4)]]),
        ("m1 2 3 4 5 6", [[(1, 2), (4, 6), (9, 12)]]),
        ("M0 0H5V6h-1v-2", [[(0, 0), (5, 0), (5, 6), (4, 6), (4, 4)]]),
        ("M0 0L4 0L4 4zl1 1", [[(0, 0), (4, 0), (4, 4), (0, 0)], [(0, 0), (1, 1)]]),
        ("M1-2.5.5.5L1e1,2", [[(1, -2.5), (0.5, 0.5), (10, 2)]]),
        ("M0 0L1 1M5 5l1 0", [[(0, 0), (1, 1)], [(5, 5), (6, 5)]]),
        ("", []),
    ],
)
def test_lines_of_a_path(d, expected):
    assert drawn(f'<path d="{d}"/>') == expected


@pytest.mark.parametrize(
    "d",
    [
        "M10 0A10 10 0 0 1 0 10A10 10 0 0 1-10 0A10 10 0 1 1 10 0",
        "M10 0a10 10 0 01-10 10a10,10 0 0,1 -10,-10",
        "M10 0C10 5.523 5.523 10 0 10S-10 5.523-10 0",
    ],
)
def test_curves_of_a_circle_lie_on_it(d):
    (stroke,) = drawn(f'<path d="{d}"/>')
    assert len(stroke) > 30
    assert [math.hypot(*point) for point in stroke] == pytest.approx([10] * len(stroke), abs=0.01)


def test_quadratic_curves_go_through_their_middle_and_go_on_smoothly():
    (stroke,) = drawn('<path d="M0 0Q5 10 10 0T20 0"/>')
    assert (5, 5) in [(round(x, 9), round(y, 9)) for x, y in stroke]
    assert (15, -5) in [(round(x, 9), round(y, 9)) for x, y in stroke]


def test_shapes_are_moved_by_all_groups_around_them():
    (stroke,) = drawn(
        '<g transform="translate(10,20) rotate(90)"><line x1="0" y1="0" x2="2" y2="0"'
        ' transform="scale(3)"/></g><defs><line x2="9"/></defs>'
    )
    np.testing.assert_allclose(stroke, [(10, 20), (10, 26)], atol=1e-12)


def test_polygons_close_and_polylines_do_not():
    found = drawn('<polygon points="0,0 1,0 1,1"/><polyline points="0 0 1 0 1 1"/>')
    assert [len(stroke) for stroke in found] == [4, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"hello", "no SVG"),
        (b'<?xml version="1.0" encoding="foo"?><svg/>', "no SVG: unknown encoding: foo"),
        (b'<svg><path d="M0 0A1e300 1e300 0 0 1 1 0"/></svg>', "division by zero"),
        (b'<svg><path d="L1 1"/></svg>', "begins with L; want M"),
        (b'<svg><path d="M1 1 K"/></svg>', "no command at ' K'"),
        (b'<svg><path d="M1 1L2"/></svg>', "L wants 2 numbers"),
        (b'<svg><polyline points="1 2 3"/></svg>', "3 numbers; want pairs"),
        (b'<svg><g transform="spin(3)"/></svg>', "a transform spin of 1 numbers"),
        (b"<svg>" + b"<g>" * 200 + b"</g>" * 200 + b"</svg>", "more than 100 deep"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, text, message):
    file = tmp_path / "own.svg"
    file.write_bytes(text)
    (row,) = formats.read([file])
    assert isinstance(row, formats.Reject)
    assert row.reason == "svg"
    assert message in row.message


def test_a_picture_is_one_drawing_made_to_fit(tmp_path):
    file = tmp_path / "own.svg"
    file.write_text('<svg><path d="M1000 1000L2000 1000L2000 1500"/><path d="M1000 1500"/></svg>')
    (row,) = formats.read([file])
    assert isinstance(row, formats.Drawing)
    assert row.drawing == [([0, 255, 255], [0, 0, 128]), ([0, 0], [128, 128])]
    file.write_text("<svg><rect width='9'/></svg>")
    (row,) = formats.read([file])
    assert isinstance(row, formats.Reject)
    assert row.reason == "empty"


@given(st.text("MmLlHhVvCcSsQqTtAaZz0123456789.,-e \t", max_size=40))
def test_any_path_gives_finite_points_or_says_why_not(d):
    try:
        found = svg.path(d)
    except (ValueError, ArithmeticError):
        return
    assert all(found)
