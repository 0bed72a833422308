import numpy as np
import pytest

from dsnjax.report import page, statistics


def test_the_interval_of_a_share_is_that_of_the_normal_law():
    hits = np.repeat([1.0, 0.0], [800, 200])
    found = statistics.estimate(hits)
    wide = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (found.value, found.count) == (pytest.approx(0.8), 1000)
    assert (found.low, found.high) == (
        pytest.approx(0.8 - wide, abs=0.002),
        pytest.approx(0.8 + wide, abs=0.002),
    )


def test_no_drawings_have_no_figure():
    assert np.isnan(statistics.estimate(np.zeros(0)).value)


@pytest.mark.parametrize(("first", "second", "p"), [(5, 0, 0.0625), (1, 9, 22 / 1024), (3, 3, 1.0)])
def test_mcnemar_is_the_binomial_test_of_the_drawings_that_differ(first, second, p):
    hits = np.repeat([True, False, True], [first, second, 40])
    other = np.repeat([False, True, True], [first, second, 40])
    assert statistics.mcnemar(hits, other) == pytest.approx(p)


def test_no_difference_is_impossible():
    hits = np.ones(4000, bool)
    assert 0 < statistics.mcnemar(hits, ~hits) < 1e-300


@pytest.mark.parametrize(
    ("p", "told"), [(1.0, "1"), (0.208, "0.21"), (0.00012, "0.00012"), (7e-33, "< 0.0001")]
)
def test_a_tiny_chance_is_not_told_to_the_last_digit(p, told):
    assert page.chance(p) == told


def test_categories_taken_for_one_another_are_a_group():
    confusion = np.diag([60, 60, 60, 90, 90, 100])
    confusion[0, 1] = confusion[1, 2] = confusion[2, 0] = 40  # cup, coffee cup, mug
    confusion[3, 4] = confusion[4, 3] = 10
    assert [sorted(labels) for labels in statistics.groups(confusion)] == [[0, 1, 2], [3, 4]]
    assert statistics.pairs(confusion, 1) == [(0, 1, 40)]


def test_a_group_does_not_swallow_everything():
    confusion = np.full((20, 20), 5)
    assert max(map(len, statistics.groups(confusion))) == statistics.LARGEST_GROUP


def test_two_mistakes_among_few_drawings_make_no_group():
    assert not statistics.groups(np.array([[2, 2], [0, 2]]))
    assert statistics.groups(np.array([[5, 5], [0, 5]])) == [[0, 1]]


def test_every_member_of_a_group_is_in_a_mistake_that_is_shown():
    confusion = np.diag([50, 50, 50, 50])
    confusion[1, 0], confusion[0, 1], confusion[1, 2], confusion[3, 2] = 9, 8, 5, 4
    assert statistics.worst_pairs(confusion) == [(1, 0, 9), (1, 2, 5), (3, 2, 4)]


def test_a_category_without_drawings_has_no_difference():
    found = statistics.means(np.array([1.0, 0.5, -1.0]), np.array([0, 0, 2]), 4)
    assert found.tolist() == [0.75, 0, -1, 0]
