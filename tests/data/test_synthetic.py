"""Made-up drawings look like Google's files and are worth learning."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raster
from dsnjax.data import formats, synthetic

COUNT = 40


@pytest.fixture(scope="module")
def rows():
    return list(synthetic.drawings(COUNT, seed=1))


def test_every_category_has_as_many_drawings_as_asked_for(rows):
    words = [row["word"] for row in rows]
    assert {word: words.count(word) for word in words} == dict.fromkeys(
        synthetic.categories(), COUNT
    )


def test_there_are_at_least_fourteen_categories_in_the_order_of_the_alphabet():
    assert len(synthetic.categories()) >= 14
    assert list(synthetic.categories()) == sorted(synthetic.categories())


def test_the_same_seed_makes_the_same_drawings(rows):
    assert list(synthetic.drawings(COUNT, seed=1)) == rows


def test_another_seed_makes_other_drawings(rows):
    there = [row["drawing"] for row in rows]
    assert not any(row["drawing"] in there for row in synthetic.drawings(5, seed=2))


def test_no_drawing_is_made_twice(rows):
    drawings = [json.dumps(row["drawing"]) for row in rows]
    assert len(set(drawings)) == len(rows)
    assert len({row["key_id"] for row in rows}) == len(rows)


def test_a_row_has_the_fields_of_the_official_files_in_their_order(rows):
    fields = ["word", "countrycode", "timestamp", "recognized", "key_id", "drawing"]
    assert all(list(row) == fields for row in rows)


@settings(max_examples=10)
@given(count=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_drawings_fill_0_to_255_from_the_upper_left(count, seed):
    for row in synthetic.drawings(count, seed):
        xs = list(itertools.chain(*(stroke[0] for stroke in row["drawing"])))
        ys = list(itertools.chain(*(stroke[1] for stroke in row["drawing"])))
        assert all(isinstance(value, int) for value in xs + ys)
        assert (min(xs), min(ys), max(max(xs), max(ys))) == (0, 0, 255)
        assert all(len(xs) == len(ys) >= 2 for xs, ys in row["drawing"])


def test_strokes_are_as_sparse_as_simplified_ones(rows):
    points = [sum(len(xs) for xs, _ in row["drawing"]) for row in rows]
    strokes = [len(row["drawing"]) for row in rows]
    assert 25 < np.mean(points) < 60  # about 45 in the official files
    assert 3 < np.mean(strokes) < 8  # about 6


def test_a_straight_stroke_keeps_its_ends_and_a_corner():
    points = np.array([(0, 0), (50, 0), (100, 0), (200, 0), (200, 80), (200, 255)], float)
    first = np.array([True, False, False, False, False, False])
    kept, _, _ = synthetic._simplify(points, np.zeros(6, int), first)
    assert kept.tolist() == [[0, 0], [200, 0], [200, 255]]


def test_files_have_the_layout_of_the_bucket_and_no_row_is_refused(tmp_path):
    files = synthetic.write(tmp_path, 5, seed=0)
    folder = tmp_path / "full" / "simplified"
    assert files == [folder / f"{word}.ndjson" for word in synthetic.categories()]
    found = list(formats.read(files))
    assert len(found) == 5 * len(files)
    assert all(isinstance(one, formats.Drawing) for one in found)


def test_a_linear_look_at_the_pixels_is_far_from_enough():
    """Least squares on 20 by 20 images; a small network names nine in ten of them rightly."""
    rows = list(synthetic.drawings(120, seed=0))
    images = raster.render(raster.pack([row["drawing"] for row in rows]), size=20)
    pixels = images.reshape(len(rows), -1) / 255
    label = np.array([synthetic.categories().index(row["word"]) for row in rows])
    seen = np.arange(len(rows)) % 3 > 0
    gram = pixels[seen].T @ pixels[seen] + 30 * np.eye(pixels.shape[1])
    weights = np.linalg.solve(gram, pixels[seen].T @ np.eye(label.max() + 1)[label[seen]])
    accuracy = np.mean((pixels[~seen] @ weights).argmax(axis=1) == label[~seen])
    assert 0.3 < accuracy < 0.75
