import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.data import augment
from dsnjax.errors import UserError

DRAWINGS = [[[[0, 100, 255], [0, 30, 255]]], [[[7, 9], [3, 200]], [[1], [2]]], [[[5], [5]]]]
PACKED = raster.pack(DRAWINGS)
EVERYTHING = config.Augment(
    rotation=45, stretch=0.5, scale=0.3, shift=0.7, drop_strokes=0.5, drop_points=0.5
)


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
    moved = augment.augmented(packed, EVERYTHING, chance(count))
    assert len(moved) == count
    assert [len(drawing) > 0 for drawing in moved.unpack()] == [len(d) > 0 for d in drawings]


def test_a_smaller_drawing_keeps_its_middle():
    packed = raster.pack([[[[0, 200], [0, 100]]]])
    small = augment.placed(packed, np.array([0.5]), np.zeros((1, 2)), 0)
    np.testing.assert_allclose(small.points, [[50, 25], [150, 75]], atol=1e-3)


@pytest.mark.parametrize(("shift", "y"), [(0, 20), (0.5, 77.5), (1, 135)])
def test_a_drawing_moves_into_the_room_beside_it(shift, y):
    packed = raster.pack([[[[0, 255], [20, 120]]]])
    moved = augment.placed(packed, np.ones(1), np.array([[0.3, 135 / 155]]), shift)
    np.testing.assert_allclose(moved.points, [[0, y], [255, y + 100]], atol=1e-3)


@pytest.mark.parametrize(("chance", "left"), [(0.0, 4), (0.4, 3), (0.99, 2)])
def test_a_drawing_loses_its_last_strokes_up_to_the_share(chance, left):
    strokes = [[[i, i + 1], [0, 9]] for i in range(4)]
    found = augment.without_last_strokes(raster.pack([strokes]), 0.5, np.array([chance]))
    assert found.unpack() == [strokes[:left]]


def test_a_drawing_keeps_its_first_stroke_whatever_the_share():
    one, three = DRAWINGS[0], [*DRAWINGS[1], [[3], [4]]]
    packed = raster.pack([one, three])
    found = augment.without_last_strokes(packed, 0.9, np.array([0.999, 0.999]))
    assert found.unpack() == [one, three[:1]]


def test_about_the_share_of_points_goes_but_the_ends_of_strokes():
    strokes = [[list(range(200)), [7] * 200], [[1, 2], [3, 4]], [[5], [5]]]
    packed = raster.pack([strokes, strokes])
    found = augment.without_points(packed, 0.3, np.array([0.2, 0.7]))
    one, other = found.unpack()
    assert 120 < len(one[0][0]) < 160 and one != other
    assert [one[0][0][i] for i in (0, -1)] == [0, 199] and one[1:] == other[1:] == strokes[1:]


def test_the_points_that_go_do_not_depend_on_what_stands_beside_them():
    packed, chances = raster.pack(DRAWINGS * 9), np.linspace(0, 0.9, 27)
    whole = augment.without_points(packed, 0.5, chances).unpack()
    part = augment.without_points(packed.take(range(9, 20)), 0.5, chances[9:20]).unpack()
    assert whole[9:20] == part


def test_times_stay_with_their_points():
    timed = [[[0, 5, 9, 9], [3, 4, 5, 6], [0.0, 10.0, 20.0, 30.0]], [[1], [2], [50.0]]]
    found = augment.augmented(raster.pack([timed]), EVERYTHING, chance(1))
    assert found.times is not None and len(found.times) == len(found.points)
    assert {0.0, 30.0} <= set(found.times.tolist()) <= {0.0, 10.0, 20.0, 30.0, 50.0}


def test_every_augmented_point_lies_in_bounds():
    found = augment.augmented(PACKED, EVERYTHING, chance(len(PACKED))).points
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255


def test_views_are_the_drawing_itself_and_those_that_training_showed():
    views = augment.views(config.Augment(rotation=20))
    assert views[0](PACKED) == PACKED and len(views) == 6
    assert [view.flip for view in views] == [False, True] * 3
    mirrored, turned = views[1](PACKED), views[4](PACKED)
    assert mirrored.unpack()[2] == [[[250], [5]]]
    half = np.radians([10.0] * len(PACKED))
    found = augment.turned(PACKED, half, np.ones((2, len(PACKED))))
    np.testing.assert_allclose(turned.points, found.points)


@pytest.mark.parametrize(("words", "count"), [({}, 2), ({"flip": False, "rotation": 9}, 3)])
def test_views_follow_what_training_did(words, count):
    assert len(augment.views(config.Augment(**words))) == count


def test_a_network_that_was_trained_on_no_other_views_has_none():
    with pytest.raises(UserError, match="trained on none that were"):
        augment.views(config.Augment(flip=False, stretch=0.5))


def test_what_is_turned_off_changes_nothing():
    off = config.Augment(flip=False)
    found = augment.augmented(PACKED, off, chance(len(PACKED)))
    assert np.array_equal(found.points, PACKED.points)
