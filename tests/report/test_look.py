import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.report import look

STROKES = [[[n, n + 1], [0, 0]] for n in range(4)]


@pytest.mark.parametrize(("share", "left"), [(0.25, [1, 1]), (0.5, [2, 1]), (1.0, [4, 1])])
def test_the_first_strokes_stay_and_one_always(share, left):
    cut = look.beginning(raster.pack([STROKES, STROKES[:1]]), share)
    assert [len(drawing) for drawing in cut.unpack()] == left
    assert cut.unpack()[0] == STROKES[: left[0]]


def test_a_token_of_the_points_belongs_to_the_strokes_it_moved_over():
    rnn = config.RNN(widths=(8, 8), kernels=(3, 3), strides=(1, 2))
    weights = np.array([0.1, 0.2, 0.0, 0.0, 0.4, 0.1, 0.0, 0.2])  # 2 x 2 places, 4 steps
    grid, stroke = look.spread(weights, STROKES[:3], rnn, length=8)
    assert grid.tolist() == [[0.1, 0.2], [0.0, 0.0]]
    assert stroke.tolist() == [1.0, 0.25, 0.0]
