"""A store and a config in, whole global batches of images and points out.

The batch of step s is a pure function of (seed, s): the drawings stand in one endless row,
epoch after epoch, each epoch a permutation seeded by (seed, epoch), and step s takes the s-th
`batch_size` of them. So any step can be reached at once, every drawing comes once an epoch, and
the position of the data is the step itself.

Of several processes each makes only the rows of the global batch that its devices hold, `own`.
The order and all random numbers are those of the whole batch, so the rows put together are the
same whatever the number of processes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import grain
import numpy as np

import raster
from dsnjax import config
from dsnjax.data import augment, noise, split
from dsnjax.data.store import Store

Batch = dict[str, np.ndarray]
WHOLE = slice(None)


def rows(store: Store, data: config.Data) -> dict[str, np.ndarray]:
    """The rows of the store in each split (`train`, `valid`, `test`), noise removed as asked.

    With `noise.filter` all, drawings are filtered first and split afterwards, the paper's way;
    with train, only those that are trained on, so that the figures are of all drawings.
    """
    member = split.split(store.hash, data.split.valid, data.split.test)
    keep = noise.keep_mask(store.entropy, store.label, data.noise.low, data.noise.high)
    filtered = {"none": (), "train": ("train",), "all": split.NAMES}[data.noise.filter]
    return {
        name: np.flatnonzero((member == code) & (keep | (name not in filtered)))
        for code, name in enumerate(split.NAMES)
    }


def training(
    store: Store,
    rows: np.ndarray,
    data: config.Data,
    seed: int,
    start: int,
    *,
    own: slice = WHOLE,
) -> grain.DatasetIterator:
    """Batches of steps `start`, `start + 1`, ... without end; close() it when done.

    Args:
        rows: the rows of the store to train on.
        seed: root of order and augmentation.
        start: the first step wanted.
        own: the part of each global batch that this process is given.
    """
    raster.warm_up()  # before threads start: numba compiles in one

    def made(chosen: np.ndarray, rng: np.random.Generator) -> Batch:
        chance = rng.random((augment.DRAWS, len(chosen)))
        return draw(store, chosen[own], data, chance[:, own])

    source = Shuffled(rows, data.batch_size, seed)
    batches = grain.MapDataset.source(source).seed(seed).random_map(made)
    # grain's default of 16 threads and 500 elements is its slowest setting for data in memory.
    options = grain.ReadOptions(num_threads=data.threads, prefetch_buffer_size=2 * data.threads)
    return iter(batches[start:].to_iter_dataset(options))


def once(
    store: Store, rows: np.ndarray, data: config.Data, *, own: slice = WHOLE
) -> Iterator[Batch]:
    """Every row exactly once, in order, not augmented; the last batch is padded with mask 0.

    Args:
        own: the part of each global batch that this process is given; all processes are given
            equally many batches, in the last of them perhaps no drawing.
    """
    size = len(range(data.batch_size)[own])
    for start in range(0, len(rows), data.batch_size):
        chosen = rows[start : start + data.batch_size][own]
        batch = draw(store, chosen, data)
        missing = size - len(chosen)
        yield {
            name: np.pad(column, [(0, missing)] + [(0, 0)] * (column.ndim - 1))
            for name, column in batch.items()
        }


def draw(
    store: Store, rows: np.ndarray, data: config.Data, chance: np.ndarray | None = None
) -> Batch:
    """The batch of these rows, as the network is shown it; with `chance`, augmented.

    Returns:
        image uint8 [b, h, w, c], points float32 [b, t, 3], length int32 [b], label int32 [b],
        mask float32 [b] of ones.
    """
    packed = store.take(rows)
    if chance is not None:
        packed = augment.augmented(packed, data.augment, chance)
    return {
        **inputs(packed, data),
        "label": store.label[rows].astype(np.int32),
        "mask": np.ones(len(rows), np.float32),
    }


def inputs(packed: raster.Packed, data: config.Data) -> Batch:
    """What the network reads of drawings: their image, points and length."""
    image = raster.render(
        packed, size=data.image_size, thickness=data.thickness, levels=data.levels
    )
    points, length = raster.sequences(packed, data.length)
    return {"image": image, "points": points, "length": length}


@dataclass(frozen=True)
class Shuffled:
    """The rows of every global batch: element s is those of step s."""

    rows: np.ndarray
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return 2**31  # the row of drawings is endless; the run ends it

    def __getitem__(self, index: int) -> np.ndarray:
        place = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        epoch, position = np.divmod(place, len(self.rows))
        chosen = np.empty(self.batch_size, np.int64)
        for one in range(epoch[0], epoch[-1] + 1):
            order = permutation(len(self.rows), self.seed, one)
            chosen[epoch == one] = self.rows[order[position[epoch == one]]]
        return chosen


@lru_cache(maxsize=2)  # a batch may reach from one epoch into the next
def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of one epoch."""
    return np.random.default_rng((seed, epoch)).permutation(count)
