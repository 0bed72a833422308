import itertools
import textwrap

import numpy as np
import pytest

import raster


def scribbles(count, strokes=12):
    rng = np.random.default_rng(6)
    return [[rng.integers(0, 256, (2, 6)).tolist() for _ in range(strokes)] for _ in range(count)]


def with_opencv(drawing, size):
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV: pip install -e .[bench]")
    canvas = np.zeros((256, 256), np.uint8)
    for t, (xs, ys) in enumerate(drawing):
        points = list(zip(xs, ys, strict=True))
        for start, end in itertools.pairwise(points):
            cv2.line(canvas, start, end, 255 - 13 * min(t, 10), 6)
    return cv2.resize(canvas, (size, size))


def with_cairo(drawing, side=28):
    cairo = pytest.importorskip("cairo", reason="compares with cairo: pip install -e .[bench]")
    surface = cairo.ImageSurface(cairo.FORMAT_ARGB32, side, side)
    page = cairo.Context(surface)
    page.set_antialias(cairo.ANTIALIAS_BEST)
    page.set_line_cap(cairo.LINE_CAP_ROUND)
    page.set_line_join(cairo.LINE_JOIN_ROUND)
    page.set_line_width(16)
    page.scale(side / 304, side / 304)
    right, bottom = np.hstack([np.array(stroke) for stroke in drawing]).max(axis=1)
    page.translate(24 + (256 - right) / 2, 24 + (256 - bottom) / 2)
    page.set_source_rgb(1, 1, 1)
    for xs, ys in drawing:
        page.move_to(xs[0], ys[0])
        for x, y in zip(xs, ys, strict=True):
            page.line_to(x, y)
        page.stroke()
    stride = surface.get_stride()
    return np.frombuffer(surface.get_data(), np.uint8).reshape(side, stride)[:, : 4 * side : 4]


def test_the_papers_lines_are_seven_pixels_thick_and_blunt():
    image = raster.render(raster.pack([[[[40, 200], [128, 128]]]]), size=256, recipe="paper")[0]
    ends = np.where(image[124:133, 34:44] == 255, "#", ".")
    assert "\n".join(map("".join, ends)) == textwrap.dedent("""\
        ..........
        ......####
        ....######
        ....######
        ...#######
        ....######
        ....######
        ......####
        ..........""")


def test_the_papers_strokes_grow_darker_and_lie_on_top():
    cross = [[[0, 255], [128, 128]], [[128, 128], [0, 255]]]
    image = raster.render(raster.pack([cross]), size=256, recipe="paper")[0]
    assert [image[128, 40], image[128, 128]] == [255, 242]


def test_the_paper_draws_no_dots():
    assert not raster.render(raster.pack([[[[9], [9]]]]), recipe="paper").any()


@pytest.mark.parametrize("size", [28, 96, 128, 256, 300])
def test_the_papers_images_are_opencvs(size):
    drawings = scribbles(20)
    images = raster.render(raster.pack(drawings), size=size, recipe="paper").astype(int)
    gap = np.abs(images - [with_opencv(drawing, size) for drawing in drawings])
    assert gap.mean() < 0.3
    assert (gap <= 8).mean() > 0.995


def test_googles_drawing_lies_in_the_middle():
    image = raster.render(raster.pack([[[[0, 255], [0, 0]]]]), size=28, recipe="google")[0]
    inked = np.flatnonzero(image.any(axis=1))
    assert inked.tolist() == [13, 14]
    assert np.array_equal(image, image[:, ::-1])


def test_googles_images_are_cairos():
    drawings = scribbles(20, strokes=4)
    images = raster.render(raster.pack(drawings), size=28, recipe="google").astype(int)
    gap = np.abs(images - [with_cairo(drawing) for drawing in drawings])
    assert gap.mean() < 1
    assert (gap <= 8).mean() > 0.99
