import numpy as np
import pytest

from dsnjax.config import Noise
from dsnjax.data import noise

PAPER = Noise(low=0.05, high=0.95)


def test_a_twentieth_of_each_category_falls_out_on_either_side():
    entropy = np.concatenate([np.arange(100.0), 1000 + np.arange(200.0)])
    label = np.repeat([7, 3], [100, 200])
    keep = noise.keep_mask(entropy, label, PAPER)
    assert np.flatnonzero(~keep).tolist() == [
        *range(5), *range(95, 100), *range(100, 110), *range(290, 300),
    ]  # fmt: skip


def test_bounds_are_strict_percentiles_as_in_the_paper():
    rng = np.random.default_rng(0)
    entropy = rng.random(333).astype(np.float32)
    lower, upper = np.percentile(entropy.astype(float), [5, 95])
    keep = noise.keep_mask(entropy, np.zeros(333, np.uint16), PAPER)
    assert np.array_equal(keep, (lower < entropy) & (entropy < upper))
    assert noise.cuts(entropy, PAPER) == (lower, upper)


def test_order_of_the_drawings_does_not_matter():
    rng = np.random.default_rng(1)
    entropy, label, order = rng.random(500), rng.integers(0, 4, 500), rng.permutation(500)
    keep = noise.keep_mask(entropy, label, PAPER)
    assert np.array_equal(noise.keep_mask(entropy[order], label[order], PAPER), keep[order])


@pytest.mark.parametrize("entropy", [[1.0], np.arange(19.0), np.ones(500), []])
def test_small_or_uniform_category_keeps_its_drawings(entropy):
    assert noise.keep_mask(np.array(entropy), np.zeros(len(entropy), int), PAPER).all()


def test_bounds_of_nought_and_one_cut_nothing():
    entropy, label = np.arange(100.0), np.zeros(100, int)
    assert noise.keep_mask(entropy, label, Noise(low=0.0, high=1.0)).all()
    assert np.flatnonzero(~noise.keep_mask(entropy, label, Noise(low=0.0, high=0.99))) == 99
