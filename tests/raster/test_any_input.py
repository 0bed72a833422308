"""Whatever a caller can form is drawn or refused, and no kernel touches memory that is not its own.

The last test runs the others again as plain Python and with numba's bounds checks.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raster

COUNTED = settings(max_examples=int(os.environ.get("RASTER_EXAMPLES", "60")))
coordinates = st.one_of(
    st.integers(0, 255),
    st.floats(-40, 300, width=32),
    st.sampled_from([-1e9, 1e9, 1e30, 127.5, 255.0, -0.0]),
)
strokes = st.lists(st.tuples(coordinates, coordinates), max_size=8).map(
    lambda points: [[x for x, _ in points], [y for _, y in points]]
)
drawings = st.lists(st.lists(strokes, max_size=4), max_size=3)
tables = st.lists(st.integers(0, 255), min_size=1, max_size=4).map(lambda t: np.array(t, np.uint8))


@COUNTED
@given(
    drawings,
    st.integers(8, 40),
    st.sampled_from([0.5, 1, 2, 5.5]),
    st.booleans(),
    st.one_of(st.just("order"), tables),
)
def test_any_strokes_are_drawn_within_the_image(many, size, thickness, antialias, levels):
    packed = raster.pack(many)
    images = raster.render(packed, size, thickness, antialias, levels)
    assert images.shape == (len(many), size, size)
    for image, drawing in zip(images, many, strict=True):
        brightest = 255 if isinstance(levels, np.ndarray) else 125 + 13 * min(len(drawing), 10)
        assert image.max(initial=0) <= brightest
        if not any(stroke[0] for stroke in drawing):
            assert not image.any()


@pytest.mark.slow
@COUNTED
@given(drawings, st.sampled_from(["paper", "google"]), st.integers(8, 40))
def test_any_strokes_are_drawn_by_a_recipe(many, recipe, size):
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        many = many[:1]
    assert raster.render(raster.pack(many), size, recipe=recipe).shape == (len(many), size, size)


@COUNTED
@given(drawings, st.integers(1, 20))
def test_any_strokes_have_a_sequence(many, length):
    steps, lengths = raster.sequences(raster.pack(many), length)
    assert steps.shape == (len(many), length, 3)
    counts = [sum(len(xs) for xs, _ in drawing) for drawing in many]
    assert lengths.tolist() == [min(count, length) for count in counts]


@COUNTED
@given(drawings, st.lists(st.integers(-3, 2), max_size=5))
def test_any_strokes_are_taken_as_python_would(many, wanted):
    packed = raster.pack(many)
    wanted = [i for i in wanted if -len(many) <= i < len(many)]
    unpacked = packed.unpack()
    assert packed.take(wanted).unpack() == [unpacked[i] for i in wanted]


@COUNTED
@given(drawings, st.integers(0, 2**32 - 1))
def test_any_strokes_lose_points_as_python_would(many, seed):
    packed = raster.pack(many)
    chosen = np.random.default_rng(seed).random(len(packed.points)) < 0.6
    left = iter(chosen.tolist())
    columns = [
        [[(x, y) for x, y in zip(*stroke, strict=True) if next(left)] for stroke in drawing]
        for drawing in packed.unpack()
    ]
    found = raster.choose(packed, chosen).unpack()
    assert found == [[list(map(list, zip(*s, strict=True))) for s in d if s] for d in columns]


@COUNTED
@given(drawings, st.floats(-3, 3), st.floats(-300, 300))
def test_any_strokes_are_moved_within_0_to_255(many, factor, offset):
    packed, matrix = raster.pack(many), np.full((len(many), 2, 2), factor)
    raster.boxes(packed, matrix)
    points = raster.transform(packed, matrix, np.full((len(many), 2), offset)).points
    assert points.min(initial=0) >= 0 and points.max(initial=0) <= 255


@COUNTED
@given(st.lists(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=6)))
def test_any_raw_drawing_is_simplified_into_0_to_255(many):
    raw = [[[x for x, _ in points], [y for _, y in points]] for points in many]
    for xs, ys in raster.simplify(raw):
        assert 0 <= min(xs + ys) <= max(xs + ys) <= 255


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="too slow in plain Python")
@pytest.mark.parametrize("size", [8, 15, 16, 17, 256, 257, 511, 1024])
@pytest.mark.parametrize("thickness", [0.5, 32])
def test_extreme_sizes_hold_extreme_strokes(size, thickness):
    if thickness >= size - 2:
        return
    corners = [[[-60, 320, 320, -60, 128], [-60, 320, -60, 320, 128]]]
    for antialias in (True, False):
        image = raster.render(raster.pack([corners]), size, thickness, antialias)[0]
        assert image[size // 2, size // 2] > 0
        assert not image[size // 2, : size // 8].any()  # nothing spills round the border


@pytest.mark.parametrize(
    "switch",
    ["NUMBA_DISABLE_JIT", pytest.param("NUMBA_BOUNDSCHECK", marks=pytest.mark.slow)],
)
@pytest.mark.skipif("RASTER_EXAMPLES" in os.environ, reason="runs inside itself otherwise")
def test_these_hold_with_every_index_checked(switch, tmp_path):
    # A cache of its own: numba does not tell kernels with bounds checks from those without.
    changes = {switch: "1", "RASTER_EXAMPLES": "12", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "not recipe"] if switch == "NUMBA_BOUNDSCHECK" else []
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, env={**os.environ, **changes}, cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
