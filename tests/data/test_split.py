import numpy as np
import pytest

from dsnjax import config
from dsnjax.data.noise import keep_mask
from dsnjax.data.split import (
    NAMES,
    NONE,
    TEST,
    TRAIN,
    VALID,
    fixed,
    members,
    read,
    split,
    write,
)
from dsnjax.data.store import Store
from dsnjax.errors import DataError, UserError
from dsnjax.main import main

HASH = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
WORDS = ("cat", "dog", "hose", "owl")
LABEL = np.random.default_rng(1).integers(0, 4, 20_000).astype(np.uint16)
KEY_ID = np.where(np.arange(20_000) % 3 == 0, HASH ^ np.uint64(1), np.uint64(0))


def test_shares_are_those_asked_for():
    share = np.bincount(split(HASH, valid=0.05, test=0.2)) / len(HASH)
    assert np.allclose(share, [0.75, 0.05, 0.2], atol=0.01)
    assert NAMES[TRAIN] == "train" and NAMES[VALID] == "valid" and NAMES[TEST] == "test"


def test_drawing_stays_in_its_split_whatever_is_with_it():
    assert np.array_equal(split(HASH[::-3], 0.1, 0.1), split(HASH, 0.1, 0.1)[::-3])


def test_test_split_does_not_depend_on_the_share_of_valid():
    assert np.array_equal(split(HASH, 0.0, 0.1) == TEST, split(HASH, 0.3, 0.1) == TEST)


def test_whole_range_of_hashes_has_a_split():
    ends = np.array([0, 2**64 - 1], np.uint64)
    assert split(ends, 0.1, 0.1).tolist() == [TEST, TRAIN]
    assert split(ends, valid=0.0, test=1.0).tolist() == [TEST, TEST]
    assert split(ends, valid=0.0, test=0.0).tolist() == [TRAIN, TRAIN]


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.6)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match="want shares that sum to at most 1"):
        split(HASH, *shares)


def test_papers_split_holds_out_so_many_of_each_category():
    member = fixed(HASH, LABEL, 512, WORDS)
    for label in range(4):
        of_label = member[label == LABEL]
        assert np.bincount(of_label).tolist() == [len(of_label) - 1024, 512, 512]
    assert (
        HASH[(LABEL == 0) & (member == TEST)].max() < HASH[(LABEL == 0) & (member == VALID)].min()
    )


def test_papers_split_does_not_depend_on_the_order_of_the_drawings():
    assert np.array_equal(
        fixed(HASH[::-1], LABEL[::-1], 7, WORDS), fixed(HASH, LABEL, 7, WORDS)[::-1]
    )


def test_drawing_with_a_copy_in_another_category_is_trained_on():
    hash = HASH.copy()
    lowest = int(np.argmin(np.where(LABEL == 1, HASH, HASH.max())))
    copy = int(np.flatnonzero(LABEL == 2)[0])
    hash[copy] = hash[lowest]
    assert fixed(HASH, LABEL, 7, WORDS)[lowest] == TEST
    assert fixed(hash, LABEL, 7, WORDS)[[lowest, copy]].tolist() == [TRAIN, TRAIN]


def test_category_too_small_for_the_papers_split_is_named():
    with pytest.raises(UserError, match="category 'owl' has 1024 drawings, too few for 512 valid"):
        fixed(HASH[:4000], np.where(np.arange(4000) < 1024, 3, 0), 512, WORDS)
    with pytest.raises(UserError, match="category 'cat' has 9 drawings, too few for 5 valid"):
        fixed(HASH[:9], np.zeros(9, np.int64), 5, WORDS)


def test_manifest_gives_the_same_split_to_another_order_of_the_drawings(tmp_path):
    member = split(HASH, 0.1, 0.1)
    write(tmp_path / "split", member, KEY_ID, HASH)
    assert np.array_equal(read(tmp_path / "split", KEY_ID[::-1], HASH[::-1]), member[::-1])
    head, first, *_ = (tmp_path / "split").read_text().splitlines()
    assert '"valid":' in head and first.startswith("test #")


def test_what_a_manifest_does_not_name_is_trained_on_but_for_copies(tmp_path):
    keys, hash = np.array([5, 6, 0], np.uint64), np.array([50, 60, 70], np.uint64)
    write(tmp_path / "split", np.array([TEST, TRAIN, VALID], np.int8), keys, hash)
    keys, hash = np.array([9, 8, 5, 0, 0], np.uint64), np.array([50, 1, 50, 70, 2], np.uint64)
    assert read(tmp_path / "split", keys, hash).tolist() == [TEST, TRAIN, TEST, VALID, TRAIN]


@pytest.fixture(scope="module")
def store(made_up):
    return Store.open(made_up)


def test_papers_protocol_filters_first_and_then_splits_what_is_left_by_number(store):
    noisy = config.Noise(filter="all", low=0.2, high=0.8)
    member = members(store, noisy, config.Split(fixed=2))
    kept = keep_mask(store.entropy, store.label, noisy)
    assert np.array_equal(member == NONE, ~kept)
    for label in range(len(store.categories)):
        assert [np.sum((member == code) & (store.label == label)) for code in (VALID, TEST)] == [
            2,
            2,
        ]


def test_honest_protocol_tests_the_same_drawings_as_no_filter_at_all(store):
    rule = config.Split(fixed=2)
    honest, none = (
        members(store, config.Noise(filter=name, low=0.2, high=0.8), rule)
        for name in ("train", "none")
    )
    assert np.array_equal(honest == TEST, none == TEST)
    assert np.sum(honest == TRAIN) < np.sum(none == TRAIN)


def test_drawings_that_the_game_did_not_recognize_are_dropped_on_request(store):
    noisy = config.Noise(filter="all", low=0, high=1, recognized=True)
    member = members(store, noisy, config.Split())
    assert np.array_equal(member == NONE, store.recognized == 0)
    assert 0 < np.sum(store.recognized == 0) < len(store)


def test_manifest_decides_the_split_by_config(store, tmp_path):
    member = members(store, config.Noise(filter="none"), config.Split(valid=0.2, test=0.3))
    write(tmp_path / "split", member, store.key_id, store.hash)
    again = members(store, config.Noise(filter="none"), config.Split(file=tmp_path / "split"))
    assert np.array_equal(again, member)


def test_prepare_writes_the_manifest_that_train_reads(made_up, tmp_path, capsys):
    words = ["prepare", "--store", str(made_up), "--write-split", str(tmp_path / "split")]
    assert main([*words, "--split.fixed", "2", "--noise.filter", "all"]) == 0
    told, count = capsys.readouterr().out, 2 * len(Store.open(made_up).categories)
    assert f"split: {count} valid and {count} test drawings; train with --data.split.file" in told


def test_manifest_that_is_not_there_or_of_other_drawings_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"split: No such file.*prepare --write-split"):
        read(tmp_path / "split", KEY_ID, HASH)
    write(tmp_path / "split", split(HASH, 0.1, 0.1), KEY_ID, HASH)
    with pytest.raises(UserError, match="split: names none of the store's drawings"):
        read(tmp_path / "split", KEY_ID[:9] * 0, ~HASH[:9])


def test_manifest_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "split").write_text('{"dsnjax_split":2,"folds":5}\n')
    with pytest.raises(UserError, match="split: a split of version 2, this dsnjax reads 1; inst"):
        read(tmp_path / "split", KEY_ID, HASH)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(b'"valid":', b'"valid":1'), "changed since it was written"),
        (lambda text: text[:-2] + b"9\n", "changed since it was written"),
        (lambda text: text[:-20], "changed since it was written"),
        (lambda text: b"test 5\n", "no manifest of a split"),
        (lambda text: b"", "no manifest of a split"),
    ],
)
def test_damaged_manifest_is_refused(tmp_path, change, words):
    path = tmp_path / "split"
    write(path, split(HASH[:50], 0.1, 0.1), KEY_ID[:50], HASH[:50])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        read(path, KEY_ID, HASH)
