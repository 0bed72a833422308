import re
from dataclasses import replace

import numpy as np
import pytest

import raster
from dsnjax import config, settings
from dsnjax.report import look, run

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


def test_whole_drawings_are_named_as_the_evaluation_says(trained):
    one = run.load(trained)
    told = look.unfinished(one)
    assert [row["share"] for row in told] == [0.25, 0.5, 0.75, 1.0]
    assert {row["map3"]["count"] for row in told} == {one.figures["drawings"]}
    for name in ("map3", "accuracy"):
        assert told[-1][name]["value"] == pytest.approx(one.figures[name])


def test_drawings_are_shown_with_what_the_attention_weighs(trained):
    one = run.load(trained)
    shown = look.attention(one)
    assert len(shown) == look.SHOWN
    for drawing, caption in shown:
        ((name, share),) = re.findall(r"^(.+?)(?:, named .+)? \((\d+)% on strokes\)$", caption)
        assert name in one.store.categories
        assert 0 < int(share) < 100
        assert 'class="heat"' in drawing


@pytest.mark.parametrize("model", [{"fusion": "logits"}, {"branches": "cnn"}])
def test_a_network_that_weighs_no_tokens_shows_no_attention(trained, model):
    one = run.load(trained)
    other = settings.check(config.Config, {"model": model})
    assert look.attention(replace(one, config=other)) == []
