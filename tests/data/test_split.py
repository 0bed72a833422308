import numpy as np
import pytest

from dsnjax.data.split import NAMES, TEST, TRAIN, VALID, fixed, read, split, write
from dsnjax.errors import DataError, UserError

HASH = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
LABEL = np.random.default_rng(1).integers(0, 4, 20_000).astype(np.uint16)
KEY_ID = np.where(np.arange(20_000) % 3 == 0, HASH ^ np.uint64(1), np.uint64(0))


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


def test_papers_split_holds_out_so_many_of_each_category():
    member = fixed(HASH, LABEL)
    for label in range(4):
        of_label = member[label == LABEL]
        assert np.bincount(of_label).tolist() == [len(of_label) - 1024, 512, 512]
    assert (
        HASH[(LABEL == 0) & (member == TEST)].max() < HASH[(LABEL == 0) & (member == VALID)].min()
    )


def test_papers_split_does_not_depend_on_the_order_of_the_drawings():
    assert np.array_equal(fixed(HASH[::-1], LABEL[::-1], 9, 5), fixed(HASH, LABEL, 9, 5)[::-1])


def test_drawing_with_a_copy_in_another_category_is_trained_on():
    hash = HASH.copy()
    lowest = int(np.argmin(np.where(LABEL == 1, HASH, HASH.max())))
    copy = int(np.flatnonzero(LABEL == 2)[0])
    hash[copy] = hash[lowest]
    member = fixed(hash, LABEL, 9, 5)
    assert (
        fixed(HASH, LABEL, 9, 5)[lowest] == TEST and member[[lowest, copy]].tolist() == [TRAIN] * 2
    )


def test_category_too_small_for_the_papers_split_is_named():
    with pytest.raises(UserError, match=r"category 3 has 1024 drawings, too few for 512 valid and"):
        fixed(HASH[:4000], np.where(np.arange(4000) < 1024, 3, 0))


def test_manifest_gives_the_same_split_to_another_order_of_the_drawings(tmp_path):
    member = split(HASH)
    write(tmp_path / "split", member, KEY_ID, HASH)
    assert np.array_equal(read(tmp_path / "split", KEY_ID[::-1], HASH[::-1]), member[::-1])
    head, first, *_ = (tmp_path / "split").read_text().splitlines()
    assert '"valid":' in head and first.startswith("test #")


def test_what_a_manifest_does_not_name_is_trained_on_but_for_copies(tmp_path):
    keys, hash = np.array([5, 6, 0], np.uint64), np.array([50, 60, 70], np.uint64)
    write(tmp_path / "split", np.array([TEST, TRAIN, VALID], np.int8), keys, hash)
    keys, hash = np.array([9, 8, 5, 0, 0], np.uint64), np.array([50, 1, 50, 70, 2], np.uint64)
    assert read(tmp_path / "split", keys, hash).tolist() == [TEST, TRAIN, TEST, VALID, TRAIN]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-2] + b"9\n", "changed since it was written"),
        (lambda text: text[:-20], "changed since it was written"),
        (lambda text: b"test 5\n", "no manifest of a split"),
        (lambda text: b"", "no manifest of a split"),
    ],
)
def test_damaged_manifest_is_refused(tmp_path, change, words):
    path = tmp_path / "split"
    write(path, split(HASH[:50]), KEY_ID[:50], HASH[:50])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        read(path, KEY_ID, HASH)
