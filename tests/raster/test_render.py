import itertools
import textwrap

import numpy as np
import pytest

import raster

WHITE = np.array([255], np.uint8)
FALLING = np.array([250, 150, 50], np.uint8)


def art(image):
    """`.` is black, `#` is 255 and a digit how many ninths of that a grey pixel has."""
    marks = ".123456789"
    rows = ["".join("#" if p == 255 else marks[-(-int(p) * 9 // 255)] for p in r) for r in image]
    return "\n".join(rows)


def picture(text):
    return textwrap.dedent(text).strip()


def drawn(drawing, size, **options):
    return raster.render(raster.pack([drawing]), size=size, **options)[0]


def scribbles(count, seed=0, points=12):
    rng = np.random.default_rng(seed)
    return [
        [rng.integers(0, 256, (2, rng.integers(1, points))).tolist() for _ in range(3)]
        for _ in range(count)
    ]


def exact(drawing, size, thickness):
    """Brightest level of each pixel by its true distance from every segment, in float64."""
    margin = thickness / 2 + 0.5
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for t, stroke in enumerate(drawing):
        points = np.array(stroke, float).T * (size - 1 - 2 * margin) / 255 + margin
        level = 125 + 13 * min(t, 10)
        for (x0, y0), (x1, y1) in itertools.pairwise([points[0], *points]):
            dx, dy = x1 - x0, y1 - y0
            part = ((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9)
            part = np.clip(part, 0, 1)
            distance = np.hypot(x - x0 - part * dx, y - y0 - part * dy)
            cover = np.clip(thickness / 2 + 0.5 - distance, 0, min(thickness, 1))
            image = np.maximum(image, level * cover)
    return image


def test_diagonal_touches_one_pixel_per_row():
    diagonal = [[[0, 255], [0, 255]]]
    image = drawn(diagonal, 8, thickness=1, antialias=False, levels=WHITE)
    assert art(image) == picture("""
        ........
        .#......
        ..#.....
        ...#....
        ....#...
        .....#..
        ......#.
        ........
    """)


def test_a_line_between_two_rows_of_pixels_inks_both():
    line = [[[0, 255], [127.5, 127.5]]]
    assert art(drawn(line, 10, levels=WHITE)) == picture("""
        ..........
        ..........
        ..........
        ..........
        .8######8.
        .8######8.
        ..........
        ..........
        ..........
        ..........
    """)


def test_corners_and_ends_are_round():
    arrow = [[[0, 255, 0], [0, 127.5, 255]]]
    assert art(drawn(arrow, 16, levels=WHITE)) == picture("""
        ................
        .884............
        .8##84..........
        ..48##84........
        ....48##84......
        ......48##84....
        ........48##84..
        ..........48##8.
        ..........48##8.
        ........48##84..
        ......48##84....
        ....48##84......
        ..48##84........
        .8##84..........
        .884............
        ................
    """)


def test_strokes_grow_brighter_in_time():
    rungs = [[[0, 255], [y, y]] for y in range(0, 240, 20)]
    image = drawn(rungs, 96, thickness=3)
    found = sorted(set(image[:, 48].tolist()) & {125 + 13 * t for t in range(11)})
    assert found == [125 + 13 * t for t in range(11)]


def test_a_drawing_without_strokes_is_a_black_image():
    images = raster.render(raster.pack([[], [[[], []]]]))
    assert images.shape == (2, 96, 96)
    assert not images.any()


def test_no_drawings_make_no_images():
    assert raster.render(raster.pack([]), size=28).shape == (0, 28, 28)


@pytest.mark.parametrize("antialias", [True, False])
def test_a_lone_point_looks_like_two_equal_points(antialias):
    one = drawn([[[80], [90]]], 32, antialias=antialias)
    two = drawn([[[80, 80], [90, 90]]], 32, antialias=antialias)
    assert one.any()
    assert np.array_equal(one, two)


@pytest.mark.parametrize(("size", "thickness"), [(16, 1), (28, 0.5), (64, 2), (100, 5), (300, 9)])
def test_grey_is_the_distance_to_the_stroke(size, thickness):
    drawings = scribbles(4)
    images = raster.render(raster.pack(drawings), size=size, thickness=thickness)
    for drawing, image in zip(drawings, images, strict=True):
        # The distance is up to 3 % short, and rounded to 1/128 or 1/64 pixel in both legs.
        bound = 255 * (0.03 * (thickness / 2 + 0.5) + 0.03) + 1
        assert np.abs(image - exact(drawing, size, thickness)).max() <= bound


@pytest.mark.parametrize("thickness", [1, 2, 3.5, 8])
def test_without_antialiasing_a_pixel_is_inked_if_its_centre_is(thickness):
    for drawing in scribbles(6, seed=1):
        white = drawn(drawing, 64, thickness=thickness, antialias=False, levels=WHITE) == 255
        # As an antialiased stroke thinner or wider by a pixel fades to nothing at its edge.
        wider = exact(drawing, 64, thickness) > 0
        surely = drawn(drawing, 64, thickness=thickness, levels=WHITE) > 150
        assert wider[white].all()
        assert white[surely].all()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("thickness", [1, 2, 6.5])
@pytest.mark.parametrize("size", [9, 28, 96, 225, 600])
def test_a_mirrored_drawing_gives_the_mirrored_image(size, thickness, antialias):
    drawings = scribbles(8, seed=2)
    across = [[[[255 - x for x in xs], ys] for xs, ys in drawing] for drawing in drawings]
    upside = [[[xs, [255 - y for y in ys]] for xs, ys in drawing] for drawing in drawings]
    options = {"size": size, "thickness": thickness, "antialias": antialias}
    images = raster.render(raster.pack(drawings), **options)
    assert np.array_equal(raster.render(raster.pack(across), **options), images[:, :, ::-1])
    assert np.array_equal(raster.render(raster.pack(upside), **options), images[:, ::-1])


def test_floats_and_bytes_give_the_same_image():
    packed = raster.pack(scribbles(8))
    moved = raster.Packed(packed.points.astype(np.float32), packed.stroke_lengths, packed.index)
    assert np.array_equal(raster.render(moved), raster.render(packed))


def test_nothing_is_cut_off_at_the_border():
    frame = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
    image = drawn(frame, 64, thickness=7, levels=WHITE)
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert edges.max() <= 128  # half a pixel of the stroke's grey edge at most
    assert (image[4, 8:56] == 255).all()


def test_a_stroke_that_leaves_the_image_is_cut_at_its_border():
    inside = drawn([[[128, 255.5], [128, 255.5]]], 48)
    beyond = drawn([[[128.0, 128 + 1e9], [128.0, 128 + 1e9]]], 48)
    assert np.array_equal(inside[:40, :40], beyond[:40, :40])
    assert beyond[47, 47] > 0
    assert not drawn([[[-1e9, -300.5], [7, 9]]], 48).any()


def test_a_dot_far_outside_is_not_drawn_and_moves_no_other():
    assert not drawn([[[10_000.0], [10_000.0]]], 32).any()
    dot = [[10], [250]]
    beside = drawn([[[0, 900], [0, 0]], dot], 32)
    assert np.array_equal(beside[8:], drawn([[[0, 255], [0, 0]], dot], 32)[8:])


def test_a_drawing_longer_than_any_buffer_is_drawn():
    rng = np.random.default_rng(3)
    xs, ys = rng.integers(0, 256, (2, 100_000)).tolist()
    assert (drawn([[xs, ys]], 64, levels=WHITE)[4:-4, 4:-4] == 255).all()
    dots = [[[x], [y]] for x, y in zip(xs[:10_000], ys[:10_000], strict=True)]
    assert (drawn(dots, 64, thickness=4)[4:-4, 4:-4] > 0).all()


def test_a_later_stroke_covers_an_earlier_one():
    cross = [[[0, 255], [128, 128]], [[128, 128], [0, 255]]]
    rising = drawn(cross, 64, thickness=6)
    falling = drawn(cross, 64, thickness=6, levels=FALLING)
    assert rising[32, 32] == 138
    assert falling[32, 32] == 150
    assert falling[32, 10] == 250


def test_for_rising_levels_a_grey_edge_keeps_the_greater_level():
    strokes = scribbles(20, seed=4)
    packed = raster.pack(strokes)
    together = raster.render(packed)
    alone = [
        raster.render(raster.pack([[s[t]] for s in strokes]), levels=np.array([125 + 13 * t], "B"))
        for t in range(3)
    ]
    assert np.array_equal(together, np.max(alone, axis=0))


def test_for_falling_levels_a_grey_edge_mixes_both():
    strokes = scribbles(20, seed=5)
    covers = [
        raster.render(raster.pack([[s[t]] for s in strokes]), levels=WHITE) / 255 for t in range(3)
    ]
    want = np.zeros(covers[0].shape)
    for cover, level in zip(covers, FALLING, strict=True):
        want += cover * (level - want)
    images = raster.render(raster.pack(strokes), levels=FALLING)
    assert np.abs(images - want).max() <= 5  # three roundings of cover to 1/128


def test_the_last_level_of_a_table_repeats():
    rungs = [[[0, 255], [y, y]] for y in (0, 80, 160, 240)]
    image = drawn(rungs, 64, thickness=4, levels=np.array([100, 200], np.uint8))
    assert set(image[[2, 21, 39, 57], 32]) <= {100, 200}
    assert [int(image[:, 32][a : a + 9].max()) for a in (0, 17, 35, 53)] == [100, 200, 200, 200]


def test_several_levels_make_several_channels():
    timed = [[[0, 255], [0, 255], [0, 900]], [[255, 0], [0, 255], [1000, 1010]]]
    packed = raster.pack([timed])
    images = raster.render(packed, size=32, levels=["order", "time", WHITE])
    assert images.shape == (1, 32, 32, 3)
    for c, levels in enumerate(["order", "time", WHITE]):
        assert np.array_equal(images[..., c], raster.render(packed, size=32, levels=levels))
    assert raster.render(packed, size=32, levels=["order"]).shape == (1, 32, 32, 1)


def test_time_runs_from_125_to_255():
    timed = [[[0, 255], [20, 20], [0, 500]], [[0, 255], [230, 230], [750, 1000]]]
    image = drawn(timed, 64, thickness=4, levels="time")
    assert [int(image[:32].max()), int(image[32:].max())] == [190, 255]


def test_a_faster_stroke_is_brighter():
    timed = [[[0, 255], [20, 20], [0, 1020]], [[0, 255], [230, 230], [1500, 1600]]]
    image = drawn(timed, 64, thickness=4, levels="speed")
    assert [int(image[:32].max()), int(image[32:].max())] == [155, 237]


@pytest.mark.parametrize("levels", ["time", "speed", ["order", "time"]])
def test_time_and_speed_need_times(levels):
    with pytest.raises(ValueError, match="have no times; pack raw drawings"):
        drawn([[[0, 9], [0, 9]]], 32, levels=levels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "size=7; want a whole number of pixels, 8 to 1024"),
        ({"size": 96.5}, "size=96.5; want"),
        ({"thickness": 0.1}, "thickness=0.1; want 0.5 to 32"),
        ({"thickness": float("nan")}, "thickness=nan; want"),
        ({"size": 16, "thickness": 14}, "fills size=16; want less than size - 2"),
        ({"levels": "colour"}, "levels='colour'; want one of"),
        ({"levels": []}, "levels is empty"),
        ({"recipe": "kaggle"}, "recipe='kaggle'; want one of"),
        ({"recipe": "paper", "thickness": 3}, "leave them out"),
        ({"recipe": "google", "levels": WHITE}, "leave them out"),
    ],
)
def test_an_argument_out_of_bounds_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        raster.render(raster.pack([]), **options)


@pytest.mark.parametrize("table", [np.array([], np.uint8), np.array([1.5]), np.zeros((2, 2), "B")])
def test_a_table_of_levels_is_bytes_in_a_row(table):
    with pytest.raises(TypeError, match=r"want uint8 \[m\]"):
        raster.render(raster.pack([]), levels=table)
