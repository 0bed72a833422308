import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.data import augment

DRAWINGS = [[[[0, 100, 255], [0, 30, 255]]], [[[7, 9], [3, 200]], [[1], [2]]], [[[5], [5]]]]
PACKED = raster.pack(DRAWINGS)


def chance(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((augment.DRAWS, count))


def test_a_mirrored_drawing_gives_the_mirrored_image():
    turned = augment.mirrored(PACKED, np.array([True, False, True]))
    before, after = raster.render(PACKED, size=32), raster.render(turned, size=32)
    assert np.array_equal(before[[0, 2], :, ::-1], after[[0, 2]])
    assert np.array_equal(before[1], after[1])


def test_a_quarter_turn_puts_x_on_y():
    packed = raster.pack([[[[0, 200], [0, 50]]]])
    quarter = augment.turned(packed, np.array([np.pi / 2]), np.ones((2, 1)))
    np.testing.assert_allclose(quarter.points, [[50, 0], [0, 200]], atol=1e-3)


def test_a_stretched_drawing_that_grows_too_large_is_made_to_fit():
    packed = raster.pack([[[[0, 255], [0, 100]]]])
    wide = augment.turned(packed, np.zeros(1), np.array([[2.0], [1.0]]))
    np.testing.assert_allclose(wide.points, [[0, 0], [255, 50]], atol=1e-3)


@pytest.mark.parametrize("drawings", [[], [[]], [[], *DRAWINGS, []]])
def test_drawings_without_points_are_left_alone(drawings):
    packed = raster.pack(drawings)
    count = len(packed)
    moved = augment.turned(packed, np.full(count, 0.3), np.ones((2, count)))
    assert len(moved.points) == len(packed.points)
    assert np.isfinite(moved.points).all()


def test_every_augmented_point_lies_in_bounds():
    settings = config.Augment(rotation=45, stretch=0.5)
    found = augment.augmented(PACKED, settings, chance(len(PACKED))).points
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255


def test_what_is_turned_off_changes_nothing():
    off = config.Augment(flip=False, rotation=0, stretch=0)
    found = augment.augmented(PACKED, off, chance(len(PACKED)))
    assert np.array_equal(found.points, PACKED.points)
