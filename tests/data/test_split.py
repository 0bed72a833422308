import numpy as np
import pytest

from dsnjax.data.split import NAMES, TEST, TRAIN, VALID, split

HASH = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)


def test_shares_are_those_asked_for():
    share = np.bincount(split(HASH, valid=0.05, test=0.2)) / len(HASH)
    assert np.allclose(share, [0.75, 0.05, 0.2], atol=0.01)
    assert NAMES[TRAIN] == "train" and NAMES[VALID] == "valid" and NAMES[TEST] == "test"


def test_drawing_stays_in_its_split_whatever_is_with_it():
    assert np.array_equal(split(HASH[::-3]), split(HASH)[::-3])


def test_test_split_does_not_depend_on_the_share_of_valid():
    assert np.array_equal(split(HASH, valid=0.0) == TEST, split(HASH, valid=0.3) == TEST)


def test_whole_range_of_hashes_has_a_split():
    ends = np.array([0, 2**64 - 1], np.uint64)
    assert split(ends).tolist() == [TEST, TRAIN]
    assert split(ends, valid=0.0, test=1.0).tolist() == [TEST, TEST]
    assert split(ends, valid=0.0, test=0.0).tolist() == [TRAIN, TRAIN]


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.6)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match="want shares that sum to at most 1"):
        split(HASH, *shares)
