import numpy as np
import pytest

import raster


def test_steps_are_differences_and_the_pen_ends_a_stroke():
    packed = raster.pack([[[[0, 255, 255], [0, 0, 51]], [[0], [51]]]])
    steps, lengths = raster.sequences(packed, 6)
    assert lengths.tolist() == [4]
    want = [(0, 0, 0), (1, 0, 0), (0, 0.2, 1), (-1, 0, 1), (0, 0, 0), (0, 0, 0)]
    assert np.allclose(steps[0], want)


def test_a_long_drawing_keeps_its_first_points():
    packed = raster.pack([[[[0, 9, 8], [0, 0, 0]], [[7], [0]]]])
    steps, lengths = raster.sequences(packed, 2)
    assert lengths.tolist() == [2]
    assert np.allclose(steps[0], [(0, 0, 0), (9 / 255, 0, 0)])


def test_a_drawing_may_have_no_points():
    steps, lengths = raster.sequences(raster.pack([[], [[[], []]], [[[1], [2]]]]), 3)
    assert lengths.tolist() == [0, 0, 1]
    assert not steps[:2].any()
    assert steps[2, 0].tolist() == [0, 0, 1]


def test_floats_and_bytes_give_the_same_steps():
    packed = raster.pack([[[[3, 200, 17], [250, 1, 9]]]])
    moved = raster.Packed(packed.points.astype(np.float32), packed.stroke_lengths, packed.index)
    assert np.array_equal(raster.sequences(moved, 4)[0], raster.sequences(packed, 4)[0])


def test_a_sequence_has_at_least_one_point():
    with pytest.raises(ValueError, match="length=0; want at least 1"):
        raster.sequences(raster.pack([]), 0)
