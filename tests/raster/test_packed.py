import numpy as np
import pytest

import raster

DRAWINGS = [
    [[[0, 10, 255], [5, 5, 7]], [[1], [2]]],
    [],
    [[[3, 4], [9, 9]]],
]


def test_unpack_gives_back_what_was_packed():
    assert raster.pack(DRAWINGS).unpack() == DRAWINGS


@pytest.mark.parametrize("indices", [[0, 2, 2, 1], [-1], [], [1, 1]])
def test_take_equals_python_indexing(indices):
    taken = raster.pack(DRAWINGS).take(indices)
    assert taken.unpack() == [DRAWINGS[i] for i in indices]
    assert taken.stroke_lengths.dtype == np.int32


def test_a_missing_drawing_is_refused():
    with pytest.raises(IndexError, match="the 3 drawings"):
        raster.pack(DRAWINGS).take([3])
