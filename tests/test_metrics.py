import jax
import numpy as np
import pytest

from dsnjax import metrics

NAMES = ["cat", "dog", "pig", "sun"]


def figures(logits, label, mask=None):
    logits, label = np.asarray(logits, np.float32), np.asarray(label)
    mask = np.ones(len(label), np.float32) if mask is None else np.asarray(mask, np.float32)
    return metrics.summary(jax.device_get(metrics.sums(logits, label, mask)), NAMES)


def average_precision(logits, label):
    """MAP@3 by its definition: sort, look for the label among the first three."""
    total = 0.0
    for row, wanted in zip(logits, label, strict=True):
        best = sorted(range(len(row)), key=lambda k: (-row[k], k))[:3]
        total += 1 / (best.index(wanted) + 1) if wanted in best else 0
    return total / len(label)


def test_ranks_one_to_four_are_worth_one_half_third_and_nothing():
    row = [4.0, 3, 2, 1]
    worth = [figures([row], [label])["map3"] for label in range(4)]
    assert worth == pytest.approx([1, 1 / 2, 1 / 3, 0])


def test_ranks_as_they_are_kept_are_worth_the_same():
    rank = np.array([0, 1, 2, 3, 65535], np.uint16)
    assert metrics.reciprocal(rank).tolist() == [1, 1 / 2, 1 / 3, 0, 0]


def test_map3_is_its_definition_on_random_guesses_with_ties():
    rng = np.random.default_rng(0)
    logits, label = rng.integers(0, 3, (200, 4)), rng.integers(0, 4, 200)
    assert figures(logits, label)["map3"] == pytest.approx(average_precision(logits, label))


def test_confusion_has_the_label_in_the_row():
    found = figures([[0, 9, 0, 0], [9, 0, 0, 0], [0, 9, 0, 0]], [0, 0, 1])
    assert found["confusion"][0][:2] == [1, 1]
    assert found["confusion"][1][:2] == [0, 1]
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_padding_is_not_counted():
    found = figures([[9, 0, 0, 0], [0, 9, 0, 0]], [0, 0], mask=[1, 0])
    assert (found["drawings"], found["accuracy"]) == (1, 1)


def test_a_network_that_says_nan_is_wrong():
    found = figures([[np.nan] * 4, [9, 0, 0, np.nan]], [0, 0])
    assert found["map3"] == 0


def test_a_category_without_drawings_has_no_figures():
    assert list(figures([[9, 0, 0, 0]], [2])["per_category"]) == ["pig"]


def test_sums_of_halves_are_the_sums_of_the_whole():
    rng = np.random.default_rng(1)
    logits, label = rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 4, 10)
    ones = np.ones(10, np.float32)
    whole = metrics.sums(logits, label, ones)
    halves = [
        metrics.sums(logits[half], label[half], ones[half]) for half in (slice(4), slice(4, 10))
    ]
    for name in whole:
        np.testing.assert_allclose(whole[name], halves[0][name] + halves[1][name], rtol=1e-5)
