import numpy as np
import pytest

import raster

DRAWINGS = [
    [[[0, 10, 255], [5, 5, 7]], [[1], [2]]],
    [],
    [[[3, 4], [9, 9]], [[], []]],
]


def stored(tmp_path):
    """The drawings as a store maps them: read-only files, stroke lengths of 16 bits."""
    packed = raster.pack(DRAWINGS)
    columns = {
        "points": packed.points,
        "stroke_lengths": packed.stroke_lengths.astype(np.uint16),
        "index": packed.index,
    }
    for name, column in columns.items():
        np.save(tmp_path / f"{name}.npy", column)
    return raster.Packed(*(np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in columns))


def test_unpack_gives_back_what_was_packed():
    assert raster.pack(DRAWINGS).unpack() == DRAWINGS


def test_whole_numbers_of_a_byte_are_stored_as_bytes():
    packed = raster.pack(DRAWINGS)
    assert packed.points.dtype == np.uint8
    assert packed.times is None


@pytest.mark.parametrize("x", [0.5, -1, 256])
def test_other_numbers_are_stored_as_floats(x):
    packed = raster.pack([[[[x], [0]]]])
    assert packed.points.dtype == np.float32
    assert packed.unpack() == [[[[x], [0.0]]]]


def test_times_are_kept_if_every_stroke_has_them():
    timed = [[[1, 2], [3, 4], [0, 15]]]
    assert raster.pack([timed]).unpack() == [timed]
    assert raster.pack([timed]).take([0, 0]).unpack() == [timed, timed]
    assert raster.pack([timed, [[[1], [2]]]]).times is None


def test_strokes_may_be_arrays():
    stroke = np.array([[1, 2], [3, 4]])
    assert raster.pack([[stroke]]).unpack() == [[stroke.tolist()]]


@pytest.mark.parametrize("indices", [[0, 2, 2, 1], [-1], [], np.array([1, 1], np.int32)])
def test_take_equals_python_indexing(indices):
    taken = raster.pack(DRAWINGS).take(indices)
    assert taken.unpack() == [DRAWINGS[i] for i in indices]
    assert taken.stroke_lengths.dtype == np.int32


def test_take_reads_memory_maps(tmp_path):
    taken = stored(tmp_path).take([2, 0])
    assert taken.unpack() == [DRAWINGS[2], DRAWINGS[0]]
    assert taken.stroke_lengths.dtype == np.int32


def test_a_store_is_drawn_as_it_lies(tmp_path):
    want = raster.render(raster.pack(DRAWINGS), size=32)
    assert np.array_equal(raster.render(stored(tmp_path), size=32), want)


def test_columns_need_not_be_contiguous():
    packed = raster.pack(DRAWINGS)
    spread = np.zeros((len(packed.points), 4), np.uint8)
    spread[:, ::2] = packed.points
    same = raster.Packed(spread[:, ::2], packed.stroke_lengths, np.asfortranarray(packed.index))
    assert same.unpack() == DRAWINGS
    assert np.array_equal(raster.render(same), raster.render(packed))


@pytest.mark.parametrize("missing", [3, -4])
def test_a_missing_drawing_is_refused(missing):
    with pytest.raises(IndexError, match=f"{missing} is beyond the 3 drawings here"):
        raster.pack(DRAWINGS).take([0, -1, missing])


def test_take_wants_whole_numbers():
    with pytest.raises(TypeError, match="want a list of whole numbers, got float64"):
        raster.pack(DRAWINGS).take([0.5])


@pytest.mark.parametrize(
    ("stroke", "lengths"), [([[1, 2], [3]], r"\[2, 1\]"), ([[1]], r"\[1\]"), ([[1]] * 4, "1, 1, 1")]
)
def test_columns_of_unequal_length_are_refused(stroke, lengths):
    with pytest.raises(ValueError, match=f"drawing 1 has a stroke with columns of .*{lengths}"):
        raster.pack([[], [stroke]])


@pytest.mark.parametrize("x", [float("nan"), float("inf"), 1e300])
def test_a_coordinate_that_is_not_finite_is_refused(x):
    with pytest.raises(ValueError, match=r"points\[1\] is .*; want finite numbers, 1e\+30 at most"):
        raster.pack([[[[0.0, x], [0, 0]]]])


def test_one_drawing_is_no_list_of_drawings():
    with pytest.raises(TypeError, match=r"drawing 0 has a stroke that is no \[xs, ys\]"):
        raster.pack([[[0, 9], [0, 9]]])


def test_a_word_is_no_coordinate():
    with pytest.raises(TypeError, match="pack: a coordinate is no number"):
        raster.pack([[[["far"], [0]]]])


@pytest.mark.parametrize("reader", [raster.render, lambda packed: packed.take([0, 1, 2])])
@pytest.mark.parametrize(
    ("lengths", "end"), [([3, 2, 2, 0], 4), ([5, -1, 2, 0], 4), ([3, 1, 2, 0], 7), ([3, 1, 2], 4)]
)
def test_columns_that_disagree_are_refused(lengths, end, reader):
    packed = raster.pack(DRAWINGS)
    index = np.array([[0, 0], [end, 2], [4, 2], [6, 4]])
    torn = raster.Packed(packed.points, np.array(lengths, np.int32), index)
    with pytest.raises(ValueError, match="its stroke lengths and its index disagree"):
        reader(torn)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("points", np.zeros((4, 2)), r"points is float64 \(4, 2\); want uint8 or float32 \[n, 2\]"),
        ("points", np.zeros(8, np.uint8), r"points is uint8 \(8,\)"),
        ("points", [[0, 0]], "points is <class 'list'>"),
        ("stroke_lengths", np.zeros(3, np.int64), "want int32 or uint16"),
        ("index", np.zeros((0, 2), np.int64), "index has no rows"),
        ("times", np.zeros(1, np.float32), r"times is float32 \(1,\); want float32 \[6\]"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(column, value, message):
    packed = raster.pack(DRAWINGS)
    columns = {name: getattr(packed, name) for name in ("points", "stroke_lengths", "index")}
    with pytest.raises(TypeError, match=message):
        raster.Packed(**{**columns, column: value})
