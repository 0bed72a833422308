import numpy as np
import pytest

import raster

DRAWINGS = [[[[0, 100, 255], [0, 30, 255]], [[9], [8]]], [], [[[7, 9], [3, 200]]]]
PACKED = raster.pack(DRAWINGS)
SAME, STILL = np.broadcast_to(np.eye(2), (3, 2, 2)), np.zeros((3, 2))
QUARTER = np.broadcast_to([[0.0, -1.0], [1.0, 0.0]], (3, 2, 2))


def test_box_is_of_the_points_times_the_matrix():
    low, high = raster.boxes(PACKED, QUARTER)
    assert low.tolist() == [[-255, 0], [0, 0], [-200, 7]]
    assert high.tolist() == [[0, 255], [0, 0], [-3, 9]]


def test_each_drawing_is_moved_by_its_own_matrix_and_offset():
    offset = np.array([[255, 0], [1, 2], [203, 0.5]])
    found = raster.transform(PACKED, QUARTER, offset)
    assert found.points.dtype == np.float32
    assert found.unpack() == [
        [[[255, 225, 0], [0, 100, 255]], [[247], [9]]],
        [],
        [[[200, 3], [7.5, 9.5]]],
    ]


def test_points_that_would_leave_the_image_stay_at_its_border():
    found = raster.transform(PACKED, 2 * SAME, STILL - 20)
    assert found.unpack()[0] == [[[0, 180, 255], [0, 40, 255]], [[0], [0]]]


def test_strokes_that_lose_all_points_go():
    chosen = np.array([1, 0, 1, 0, 0, 1], bool)
    found = raster.choose(PACKED, chosen)
    assert found.unpack() == [[[[0, 255], [0, 255]]], [], [[[9], [200]]]]
    assert raster.choose(PACKED, ~chosen).unpack() == [
        [[[100], [30]], [[9], [8]]],
        [],
        [[[7], [3]]],
    ]
    found.check()


@pytest.mark.parametrize(
    "call",
    [
        lambda: raster.boxes(PACKED, SAME[:2]),
        lambda: raster.transform(PACKED, SAME, STILL[:, :1]),
        lambda: raster.choose(PACKED, np.ones(3, bool)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(ValueError, match=r"is \(.*\); want \(.*\)"):
        call()


def test_numbers_of_points_are_not_taken_for_a_choice():
    with pytest.raises(TypeError, match="chosen is int64; want bool"):
        raster.choose(PACKED, np.arange(6))
