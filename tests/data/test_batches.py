import dataclasses
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.data import batches, noise
from dsnjax.data.store import Store
from dsnjax.errors import UserError


@pytest.fixture(scope="module")
def store(made_up):
    return Store.open(made_up)


def stream(store, data, rows, start, count, own=batches.WHOLE):
    with closing(batches.training(store, rows, data, 3, start, own=own)) as found:
        return list(islice(found, count))


def shares(batch_size, processes):
    """The part of a batch that each of some processes is given."""
    size = batch_size // processes
    return [slice(i * size, (i + 1) * size) for i in range(processes)]


def together(parts):
    """The global batches that the batches of several processes make."""
    return [
        {name: np.concatenate([one[name] for one in batch]) for name in batch[0]}
        for batch in zip(*parts, strict=True)
    ]


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_any_step_is_reached_at_once(store, tiny):
    rows = np.arange(100)
    whole = stream(store, tiny.data, rows, 0, 7)
    assert all(
        same(a, b) for a, b in zip(whole[5:], stream(store, tiny.data, rows, 5, 2), strict=True)
    )


@pytest.mark.parametrize("threads", [0, 3])
def test_threads_change_no_batch(store, tiny, threads):
    data = tiny.data.model_copy(update={"threads": threads})
    rows = np.arange(100)
    pairs = zip(stream(store, data, rows, 0, 5), stream(store, tiny.data, rows, 0, 5), strict=True)
    assert all(same(a, b) for a, b in pairs)


def test_what_goes_wrong_in_a_thread_is_told_where_the_batch_is_wanted(store, tiny, monkeypatch):
    data, draw = tiny.data.model_copy(update={"threads": 3}), batches.draw
    wanted = batches.order(store, np.arange(100), data, 3)[5]

    def drawn(store, rows, data, chance=None):
        if np.array_equal(rows, wanted):
            raise OSError("the disk of row 7 is gone")
        return draw(store, rows, data, chance)

    monkeypatch.setattr(batches, "draw", drawn)
    with closing(batches.training(store, np.arange(100), data, 3, 0)) as found:
        assert len(list(islice(found, 5))) == 5
        with pytest.raises(OSError, match="the disk of row 7 is gone"):
            next(found)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_make_the_batches_of_one(store, tiny, processes):
    rows = np.arange(100)
    augment = config.Augment(rotation=20, stretch=0.3)
    data = tiny.data.model_copy(update={"augment": augment})
    parts = [stream(store, data, rows, 2, 3, own) for own in shares(32, processes)]
    pairs = zip(together(parts), stream(store, data, rows, 2, 3), strict=True)
    assert all(same(a, b) for a, b in pairs)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_give_every_drawing_once_though_some_have_only_padding(
    store, tiny, processes
):
    rows = np.arange(10, 80)  # the last batch has 6 drawings: one process's, or fewer
    parts = [list(batches.once(store, rows, tiny.data, own=own)) for own in shares(32, processes)]
    assert parts[-1][-1]["mask"].sum() == 0
    pairs = zip(together(parts), batches.once(store, rows, tiny.data), strict=True)
    assert all(same(a, b) for a, b in pairs)


def test_every_drawing_comes_once_an_epoch_even_across_batches():
    rows = np.arange(1000, 1050)
    source = batches.Shuffled(rows, 32, seed=0)
    row = np.concatenate([source[step] for step in range(25)])  # 16 epochs of 50
    epochs = row.reshape(16, 50)
    assert all(sorted(epoch) == list(rows) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


GROUPS = [np.arange(0, 7), np.arange(10, 110), np.arange(200, 230)]


def test_balanced_batches_give_categories_in_turn_and_all_drawings_before_one_again():
    source = batches.Balanced(GROUPS, 30, seed=0)
    row = np.concatenate([source[step] for step in range(20)])
    category = np.searchsorted([0, 10, 200], row, side="right") - 1
    assert (np.sort(category.reshape(200, 3), axis=1) == [0, 1, 2]).all()
    assert len({tuple(turn) for turn in category.reshape(200, 3)}) == 6
    for number, group in enumerate(GROUPS):
        of_group = row[category == number]
        for begin in range(0, 200 - len(group) + 1, len(group)):
            assert sorted(of_group[begin : begin + len(group)]) == list(group)


def test_balanced_batches_are_reached_at_once_in_any_order():
    whole = batches.Balanced(GROUPS, 25, seed=4)
    expected = [whole[step] for step in range(40)]
    fresh = batches.Balanced(GROUPS, 25, seed=4)
    assert all(np.array_equal(fresh[step], expected[step]) for step in (33, 2, 39, 0))


def test_balanced_training_shows_categories_equally_often(store, tiny):
    rows = np.flatnonzero((store.label > 0) | (np.arange(len(store)) % 5 == 0))
    data = tiny.data.model_copy(update={"balance": True})
    label = np.concatenate([batch["label"] for batch in stream(store, data, rows, 0, 10)])
    counts = np.bincount(label, minlength=len(store.categories))
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("balance", [False, True])
def test_order_names_the_rows_of_each_step(store, tiny, balance):
    rows, data = np.arange(100), tiny.data.model_copy(update={"balance": balance})
    order = batches.order(store, rows, data, 3)
    with closing(batches.training(store, rows, data, 3, 5, columns=["key_id"])) as found:
        for step in (5, 6):
            assert np.array_equal(next(found)["key_id"], store.key_id[order[step]])


def test_columns_of_the_store_come_with_the_batch_on_request(store, tiny):
    columns, rows = ("country", "recognized", "key_id"), np.arange(40)
    with closing(batches.training(store, rows, tiny.data, 0, 0, columns=columns)) as found:
        batch = next(found)
    of_key = dict(zip(store.key_id.tolist(), store.country.tolist(), strict=True))
    assert [of_key[key] for key in batch["key_id"].tolist()] == batch["country"].tolist()
    assert batch["country"].dtype == store.country.dtype and len(batch["recognized"]) == 32
    with pytest.raises(ValueError, match="columns: no label; want some of"):
        batches.training(store, rows, tiny.data, 0, 0, columns=["label"])


def test_each_level_is_a_channel_of_the_image(store, tiny):
    timed = raster.pack([[[[0, 9, 255], [0, 99, 200], [0.0, 50.0, 300.0]]]])
    data = tiny.data.model_copy(update={"levels": ("order", "speed", "time")})
    image = batches.inputs(timed, data)["image"]
    assert image.shape == (1, 32, 32, 3)
    for channel, name in enumerate(data.levels):
        alone = tiny.data.model_copy(update={"levels": (name,)})
        assert np.array_equal(image[..., channel], batches.inputs(timed, alone)["image"][..., 0])


def test_levels_of_time_are_refused_for_a_store_without_times(store, tiny):
    data = tiny.data.model_copy(update={"levels": ("order", "time")})
    with pytest.raises(UserError, match=r"data\.levels: time needs drawings with times"):
        stream(store, data, np.arange(9), 0, 1)


def test_another_seed_is_another_order():
    one, other = (batches.Shuffled(np.arange(64), 64, seed)[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_flip_mirrors_about_half_of_the_drawings_in_both_branches(store, tiny):
    rows = np.arange(200)
    mirrored = tiny.data.model_copy(update={"batch_size": 200})
    plain = mirrored.model_copy(update={"augment": config.Augment(flip=False)})
    (before,), (after,) = (stream(store, data, rows, 0, 1) for data in (plain, mirrored))
    image = (before["image"] == after["image"]).all((1, 2, 3))
    turned = (before["image"][:, :, ::-1] == after["image"]).all((1, 2, 3))
    assert (image | turned).all()
    assert 60 < turned.sum() < 140
    chosen = turned & ~image
    np.testing.assert_allclose(before["points"][chosen] * [-1, 1, 1], after["points"][chosen])


@pytest.mark.parametrize(("count", "most"), [(1120, 1000), (1000, 1000), (7, 10), (35, 10), (0, 3)])
def test_a_few_rows_are_those_of_all_categories(count, most):
    few = batches.few(np.arange(count), most)
    assert len(few) == len(np.unique(few)) == min(count, most)
    assert np.diff(few, prepend=0, append=max(count - 1, 0)).max() <= -(-count // most)


def test_once_gives_every_drawing_once_and_pads_the_last_batch(store, tiny):
    rows = np.arange(10, 80)
    found = list(batches.once(store, rows, tiny.data))
    assert [batch["mask"].sum() for batch in found] == [32, 32, 6]
    assert all(len(batch["image"]) == 32 for batch in found)
    label = np.concatenate([batch["label"][batch["mask"] > 0] for batch in found])
    assert np.array_equal(label, store.label[rows])


def test_a_batch_is_what_the_contract_says(store, tiny):
    (batch,) = stream(store, tiny.data, np.arange(100), 0, 1)
    assert {name: (str(part.dtype), part.shape[1:]) for name, part in batch.items()} == {
        "image": ("uint8", (32, 32, 1)),
        "points": ("float32", (24, 3)),
        "length": ("int32", ()),
        "label": ("int32", ()),
        "mask": ("float32", ()),
    }


def test_category_of_which_nothing_is_left_to_train_on_is_named(store, tiny):
    last = len(store.categories) - 1
    unknown = np.where(store.label == last, 0, store.recognized).astype(np.int8)
    strict = config.Noise(recognized=True)
    data = tiny.data.model_copy(update={"noise": strict})
    with pytest.raises(UserError, match=f"'{store.categories[last]}' has no drawing left to train"):
        batches.rows(dataclasses.replace(store, recognized=unknown), data)


def test_drawing_of_a_hundred_thousand_points_is_shown_by_its_first_ones(tiny):
    xs = [i % 256 for i in range(10)]
    packed = raster.pack([[[xs, xs[::-1]]] * 10_000])
    first, again = (batches.inputs(packed, tiny.data) for _ in range(2))
    assert same(first, again) and first["length"].tolist() == [tiny.data.length]


@pytest.mark.parametrize("filtered", ["none", "train", "all"])
def test_noise_is_removed_from_the_splits_that_are_named(store, tiny, filtered):
    rule = tiny.data.noise.model_copy(update={"filter": filtered, "low": 0.2, "high": 0.8})
    data = tiny.data.model_copy(update={"noise": rule})
    found = batches.rows(store, data)
    kept = noise.keep_mask(store.entropy, store.label, rule)
    assert kept[found["train"]].all() == (filtered != "none")
    assert kept[found["test"]].all() == (filtered == "all")
    everything = np.concatenate(list(found.values()))
    assert len(set(everything)) == len(everything)
    assert filtered != "none" or len(everything) == len(store)
