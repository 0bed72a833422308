import re

import numpy as np
import pytest

from dsnjax.report import curves, figures


def test_a_chart_takes_the_color_of_its_page():
    svg = figures.histogram(np.arange(10), "How often", "points")
    assert svg.startswith('<svg class="chart" role="img" aria-label="How often"')
    assert "currentColor" in svg
    assert figures.INK not in svg
    assert " width=" not in svg.partition(">")[0]


def test_a_name_cannot_leave_its_chart():
    names = ["<script>alert(1)</script>", "$x^2$"]
    svg = figures.confusion(np.eye(2), names, names[0])
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_a_name_is_no_pattern():
    assert r'aria-label="a\1b"' in figures.histogram(np.arange(9), r"a\1b", "points")


def test_the_matrix_of_many_categories_names_each_on_all_sides():
    svg = figures.confusion(np.eye(345), [f"name{n}" for n in range(345)], "Confusion")
    assert svg.count(">name7<") == 4
    assert len(svg) < 1_000_000


def test_a_single_mistake_is_seen_in_the_matrix():
    charts = (
        figures.confusion(np.array([[5000, wrong], [0, 5000]]), ["a", "b"], "t") for wrong in (0, 1)
    )
    assert len(set(charts)) == 2


def test_the_larger_shares_of_a_small_matrix_are_numbers():
    counts = np.array([[95, 4, 1], [0, 98, 2], [0, 0, 0]])
    svg = figures.confusion(counts, ["a", "b", "c"], "Confusion")
    told = [int(number) for number in re.findall(r">(\d+)</text>", svg)]
    assert told == [95, 4, 98, 2]
    assert ">25%<" in svg


def test_a_shade_grows_with_the_share_and_nothing_has_none():
    opacity = figures.shade(np.array([0, 0.0001, 0.25, 1]), "#3b82c4")[:, 3]
    assert opacity.tolist() == [0, figures.FAINTEST, 0.5, 1]


def test_the_same_numbers_give_the_same_chart():
    one, two = (figures.entropies(np.linspace(0, 2, 50), (0.1, 1.9), "a") for _ in range(2))
    assert one == two


def test_a_point_of_training_is_the_mean_of_those_around():
    pairs = np.stack([np.arange(22), np.tile([0.0, 30.0], 11)], axis=1)
    assert curves.smoothed(pairs)[:4].tolist() == [[0, 10], [1, 15], [2, 12], [3, 18]]
    assert curves.smoothed(pairs[:2]).tolist() == [[0, 0], [1, 30]]
    steady = np.stack([np.arange(300), np.ones(300)], axis=1)
    assert np.allclose(curves.smoothed(steady), steady)


def test_no_two_of_many_runs_look_alike():
    looks = [str(figures.look(place)) for place in range(24)]
    assert len(set(looks)) == 24


ROWS = [
    {"probability": 0.5, "accuracy": 0.4, "drawings": 10},
    {"probability": 0.9, "accuracy": 0.9, "drawings": 1000},
    {"probability": 0.1, "accuracy": 0.9, "drawings": 9},
]


def test_the_dots_of_calibration_tell_how_many_drawings_they_stand_for():
    with figures.chart() as (_, axes):
        figures.dots(axes, ROWS, 0)
        (dots,) = axes.collections
        assert dots.get_sizes().tolist() == pytest.approx([2.6, 62])
        assert dots.get_offsets().tolist() == [[0.5, 0.4], [0.9, 0.9]]


@pytest.mark.parametrize("name", ["_hidden", "a$b$c", "$"])
def test_every_name_of_a_run_stands_in_the_legends(name):
    told = [{"step": 1, "accuracy": 0.5}]
    assert f">{name}</text>" in curves.chart([(name, told), ("b", told)])
    assert f">{name}</text>" in figures.reliability([(name, ROWS), ("b", ROWS)], "Calibration")


def test_the_entropies_of_a_category_tell_how_many_are_dropped():
    svg = figures.entropies(np.arange(100.0), (9.0, 95.0), "Entropy")
    assert ">85 kept<" in svg
    assert ">15 dropped<" in svg


def test_a_legend_names_each_run_once_and_what_dashes_are():
    told = [{"step": 1, "accuracy": 0.5}, {"step": 2, "accuracy": 0.6, "valid_accuracy": 0.4}]
    svg = curves.chart([("one", told), ("two", told)])
    assert [svg.count(f">{name}<") for name in ("one", "two", "validation")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("top", "bars", "each"), [(8, 9, 1), (59, 60, 1), (60, 31, 2), (131, 44, 3)]
)
def test_bars_of_a_histogram_hold_equally_many_whole_numbers(top, bars, each):
    edges = figures.whole_edges(top)
    counts, _ = np.histogram(np.arange(each * bars), bins=edges)
    assert counts.tolist() == [each] * bars
    assert edges[-2] < top < edges[-1]
