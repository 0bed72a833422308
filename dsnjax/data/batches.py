"""A store and a config in, whole global batches of images and points out.

The batch of step s is a pure function of (seed, s): the drawings stand in one endless row,
epoch after epoch, each epoch a permutation seeded by (seed, epoch), and step s takes the s-th
`batch_size` of them. So any step can be reached at once, every drawing comes once an epoch, and
the position of the data is the step itself. `Balanced` says what holds where categories are to
come equally often.

Of several processes each makes only the rows of the global batch that its devices hold, `own`.
The order and all random numbers are those of the whole batch, so the rows put together are the
same whatever the number of processes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import grain
import numpy as np

import raster
from dsnjax import config
from dsnjax.data import augment, split
from dsnjax.data.inputs import inputs
from dsnjax.data.noise import by_category
from dsnjax.data.store import Store
from dsnjax.errors import UserError

Batch = dict[str, np.ndarray]
Change = Callable[[raster.Packed], raster.Packed]
WHOLE = slice(None)
ABOUT = ("key_id", "country", "recognized", "entropy", "hash")
ROUNDS = 64  # rounds of all categories whose order is drawn at once
STEPS = 16  # steps whose augmentations are drawn at once: a generator takes long to make


def rows(store: Store, data: config.Data) -> dict[str, np.ndarray]:
    """The rows of the store in each split (`train`, `valid`, `test`): see `split.members`.

    Raises:
        UserError: a category has no drawing left to train on; and as `split.members` does.
    """
    member = split.members(store, data.noise, data.split)
    left = np.bincount(store.label[member == split.TRAIN], minlength=len(store.categories))
    if not left.all():
        raise UserError(
            f"{store.path}: category {store.categories[left.argmin()]!r} has no drawing left to "
            "train on; see --data.noise and --data.split, or prepare without it"
        )
    return {name: np.flatnonzero(member == code) for code, name in enumerate(split.NAMES)}


def training(
    store: Store,
    rows: np.ndarray,
    data: config.Data,
    seed: int,
    start: int,
    *,
    own: slice = WHOLE,
    columns: Sequence[str] = (),
) -> grain.DatasetIterator:
    """Batches of steps `start`, `start + 1`, ... without end; close() it when done.

    Args:
        rows: the rows of the store to train on.
        seed: root of order and augmentation.
        start: the first step wanted.
        own: the part of each global batch that this process is given.
        columns: what else to tell of each drawing: names among ABOUT.
    """

    def made(step: int, chosen: np.ndarray) -> Batch:
        block, place = divmod(step, STEPS)
        chance = chances(seed, block, data.batch_size)[place][:, own]
        change = partial(augment.augmented, augment=data.augment, chance=chance)
        return about(store, chosen[own], columns) | draw(store, chosen[own], data, change)

    source = order(store, rows, data, seed)
    raster.warm_up()  # before threads start: numba compiles in one
    made(start, source[start])  # what the config asks for as well
    batches = grain.MapDataset.source(source).map_with_index(made)
    # grain's default of 16 threads and 500 elements is its slowest setting for data in memory.
    options = grain.ReadOptions(num_threads=data.threads, prefetch_buffer_size=2 * data.threads)
    return iter(batches[start:].to_iter_dataset(options))


def once(
    store: Store,
    rows: np.ndarray,
    data: config.Data,
    *,
    own: slice = WHOLE,
    view: augment.View = augment.AS_IS,
) -> Iterator[Batch]:
    """Every row exactly once, in order, not augmented; the last batch is padded with mask 0.

    Args:
        own: the part of each global batch that this process is given; all processes are given
            equally many batches, in the last of them perhaps no drawing.
        view: how all drawings are shown.
    """
    size = len(range(data.batch_size)[own])
    for start in range(0, len(rows), data.batch_size):
        chosen = rows[start : start + data.batch_size][own]
        batch = draw(store, chosen, data, view)
        yield {name: padded(column, size) for name, column in batch.items()}


def few(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spread: a store is sorted by category."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]


def order(store: Store, rows: np.ndarray, data: config.Data, seed: int) -> "Shuffled | Balanced":
    """The rows of every global batch that training is given; element s is those of step s."""
    if data.balance:
        return Balanced(by_category(rows, store.label[rows]), data.batch_size, seed)
    return Shuffled(rows, data.batch_size, seed)


def padded(column: np.ndarray, size: int) -> np.ndarray:
    """The column with zeros after its end, `size` rows in all."""
    whole = np.zeros((size, *column.shape[1:]), column.dtype)
    whole[: len(column)] = column
    return whole


def about(store: Store, rows: np.ndarray, columns: Sequence[str]) -> Batch:
    """Some columns of the store for these rows, as it has them."""
    if unknown := set(columns) - set(ABOUT):
        raise ValueError(f"columns: no {', '.join(sorted(unknown))}; want some of {ABOUT}")
    return {name: getattr(store, name)[rows] for name in columns}


def draw(
    store: Store, rows: np.ndarray, data: config.Data, change: Change = augment.AS_IS
) -> Batch:
    """The batch of these rows, changed first, as the network is shown it.

    Returns:
        image uint8 [b, h, w, c], points float32 [b, t, 3], length int32 [b], label int32 [b],
        mask float32 [b] of ones.
    """
    return {
        **inputs(change(store.take(rows)), data),
        "label": store.label[rows].astype(np.int32),
        "mask": np.ones(len(rows), np.float32),
    }


@dataclass(frozen=True)
class Shuffled:
    """The rows of every global batch: element s is those of step s."""

    rows: np.ndarray
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return 2**31  # the row of drawings is endless; the run ends it

    def __getitem__(self, index: int) -> np.ndarray:
        epoch, begin = divmod(index * self.batch_size, len(self.rows))
        parts, wanted = [], self.batch_size
        while wanted:
            order = permutation(len(self.rows), self.seed, epoch)
            parts.append(order[begin : begin + wanted])
            wanted -= len(parts[-1])
            epoch, begin = epoch + 1, 0
        return self.rows[np.concatenate(parts)]


@dataclass(frozen=True)
class Balanced:
    """The rows of every global batch, each category equally often: element s is those of step s.

    The categories take turns: every round has each of them once, in an order of its own. A category
    gives its drawings in an endless row, permutation after permutation, as all do in `Shuffled`.
    An epoch still is as many drawings as there are to train on, but not each of them once: small
    categories come around several times, large ones not once.
    """

    groups: Sequence[np.ndarray]
    """The rows of each category."""
    batch_size: int
    seed: int
    _orders: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)
    """Of each category the epoch it is in, and its order."""

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> np.ndarray:
        place = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        count = len(self.groups)
        block, position = np.divmod(place, count * ROUNDS)
        category = np.empty(self.batch_size, np.int64)
        for one in range(block[0], block[-1] + 1):
            turns = rounds(count, self.seed, one)
            category[block == one] = turns[position[block == one]]
        sizes = np.array([len(group) for group in self.groups])[category]
        epoch, number = np.divmod(place // count, sizes)
        found = zip(category.tolist(), epoch.tolist(), number.tolist(), strict=True)
        return np.array([self._order(own, epoch)[number] for own, epoch, number in found])

    def _order(self, category: int, epoch: int) -> np.ndarray:
        known, order = self._orders.get(category, (-1, np.empty(0)))
        if known != epoch:
            rng = np.random.default_rng((self.seed, epoch, category))
            order = rng.permutation(self.groups[category])
            self._orders[category] = epoch, order
        return order


@lru_cache(maxsize=2)  # a batch may reach from one block into the next
def rounds(count: int, seed: int, block: int) -> np.ndarray:
    """The categories in the order of their turns, ROUNDS times each of them."""
    turns = np.tile(np.arange(count), (ROUNDS, 1))
    return np.random.default_rng((seed, block, count)).permuted(turns, axis=1).reshape(-1)


@lru_cache(maxsize=2)  # a batch may reach from one epoch into the next
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of one epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)


@lru_cache(maxsize=2)  # threads ahead of the step may be in the next block
def chances(seed: int, block: int, batch_size: int) -> np.ndarray:
    """Random numbers in 0..1 for the augmentations of STEPS steps, float32 [STEPS, DRAWS, b]."""
    rng = np.random.default_rng((seed, block, batch_size))
    return rng.random((STEPS, augment.DRAWS, batch_size), np.float32)
