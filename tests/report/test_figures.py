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


def test_the_matrix_of_many_categories_names_each_on_all_sides():
    svg = figures.confusion(np.eye(345), [f"name{n}" for n in range(345)], "Confusion")
    assert svg.count(">name7<") == 4
    assert len(svg) < 1_000_000


def test_a_single_mistake_is_seen_in_the_matrix():
    charts = (
        figures.confusion(np.array([[5000, wrong], [0, 5000]]), ["a", "b"], "t") for wrong in (0, 1)
    )
    assert len(set(charts)) == 2


def test_the_same_numbers_give_the_same_chart():
    one, two = (figures.entropies(np.linspace(0, 2, 50), (0.1, 1.9), "a") for _ in range(2))
    assert one == two


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
