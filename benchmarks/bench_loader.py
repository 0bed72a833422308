"""How fast a store becomes shuffled batches, beside PyTorch, grain alone, ArrayRecord and Arrow.

    python benchmarks/bench_loader.py --drawings PATH --json loader.json --check

PATH is as `dsnjax prepare` takes it; `--store S` names a store that is there already. Without
either the drawings are made up. Rivals take turns, so only ratios within a run mean something.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import gates
import numpy as np
import rivals
import sources

import raster
from dsnjax import config
from dsnjax.data import batches
from dsnjax.data.store import Store
from dsnjax.errors import DataError, UserError

LIBRARIES = ("numpy", "grain", "torch", "opencv-python-headless", "array-record", "pyarrow")
BATCH = 256
MOST = 100_000  # drawings, which PyTorch's way holds as Python objects
TORCH, GRAIN = "PyTorch's DataLoader and OpenCV", "grain's shuffle, batch and map"
BARE, ARROW = "the bare kernels", "Arrow, take from a mapped file"
RECORDS = "ArrayRecord, read of a list"
PLAIN = config.Data(batch_size=BATCH, threads=0, augment=config.Augment(flip=False))


def main() -> int:
    parser = gates.options("How fast a store becomes shuffled batches")
    parser.add_argument("--drawings", type=Path, metavar="PATH", help=sources.HELP)
    parser.add_argument("--store", type=Path, metavar="S", help="a store made by dsnjax prepare")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = opened(chosen, Path(folder))
        rows = np.random.default_rng(0).permutation(len(store))[:MOST]
        kind = (chosen.store or chosen.drawings or Path("made-up")).name
        print(f"{gates.machine()}; {gates.version(*LIBRARIES)}")
        print(f"{len(rows)} drawings ({kind}), batches of {BATCH}; one thread unless it says more")
        raster.warm_up()
        rounds = 5 if chosen.quick else 15
        found = loaders(store, rows, rounds) + reads(store, rows, rounds, Path(folder))
    return gates.finish(chosen, found)


def opened(chosen: Namespace, folder: Path) -> Store:
    try:
        if chosen.store:
            store = Store.open(chosen.store)
        else:
            store = sources.store(chosen.drawings, folder, MOST)
    except (UserError, DataError) as error:
        raise SystemExit(str(error)) from None
    if len(store) < 4 * BATCH:
        raise SystemExit(f"{store.path}: {len(store)} drawings; want at least {4 * BATCH}")
    return store


def compared(turns: dict[str, list[float]], wanted: dict[str, tuple[str, float]]) -> list:
    """The gates (a rival and the least ratio) of those rivals that are there."""
    return [
        gates.at_least(name, gates.times_faster(turns[rival], turns["dsnjax"]), least)
        for name, (rival, least) in wanted.items()
        if rival in turns
    ]


# ----------------------------------------------------------------------------- loaders


def loaders(store: Store, rows: np.ndarray, rounds: int) -> list[gates.Gate]:
    """Shuffled batches of images of 96 x 96 and sequences of 128 points."""
    made = {
        TORCH: gates.rival(
            "torch opencv-python-headless", lambda: rivals.torch_loader(store, rows, PLAIN)
        ),
        GRAIN: gates.rival("-e .[bench]", lambda: rivals.grain_loader(store, rows, PLAIN)),
    }
    with ExitStack() as stack:

        def ours(data: config.Data) -> gates.Turn:
            made = batches.training(store, rows, data, seed=0, start=0)
            return gates.repeated(stack.enter_context(closing(made)).__next__, 80, BATCH)

        turns = gates.take_turns(
            {
                "dsnjax": ours(PLAIN),
                "dsnjax, mirroring half": ours(changed(augment=config.Augment())),
                "dsnjax, one thread ahead": ours(changed(threads=1)),
                "dsnjax, two threads ahead": ours(changed(threads=2)),
                BARE: gates.repeated(bare(store, rows), 80, BATCH),
            }
            | {
                name: gates.repeated(loader.__next__, 4, BATCH)
                for name, loader in made.items()
                if loader
            },
            rounds,
        )
    gates.rates("Shuffled batches, image and sequence", turns, "dsnjax")
    return compared(
        turns,
        {
            "loader_vs_torch": (TORCH, 22),
            "loader_vs_grain": (GRAIN, 4),
            "loader_vs_kernel": (BARE, 0.85),
        },
    )


def changed(**values) -> config.Data:
    return PLAIN.model_copy(update=values)


def bare(store: Store, rows: np.ndarray) -> Callable[[], dict]:
    """The same batches by a loop that calls the kernels and does nothing else."""
    order = np.random.default_rng(1).permutation(rows)
    begins = itertools.cycle(range(0, len(order) - BATCH, BATCH))

    def make() -> dict:
        begin = next(begins)
        chosen = order[begin : begin + BATCH]
        packed = store.take(chosen)
        points, length = raster.sequences(packed, PLAIN.length)
        image = raster.render(packed, PLAIN.image_size, PLAIN.thickness)
        label = store.label[chosen]
        return {"image": image, "points": points, "length": length, "label": label}

    return make


# ------------------------------------------------------------------------------- reads


def reads(store: Store, rows: np.ndarray, rounds: int, folder: Path) -> list[gates.Gate]:
    """The strokes of a random batch, as columns that the kernels read."""
    packed = store.take(rows)
    readers = {
        "dsnjax": lambda chosen: store.take(rows[chosen]),
        ARROW: gates.rival("-e .[bench]", lambda: rivals.arrow(packed, folder / "many.feather")),
        "Arrow, all in one record batch": gates.rival(
            "-e .[bench]", lambda: rivals.arrow(packed, folder / "one.feather", len(rows))
        ),
        RECORDS: gates.rival("-e .[bench]", lambda: rivals.array_record(packed, folder / "a.rec")),
    }
    order = np.random.default_rng(2).permutation(len(rows))
    begins = itertools.cycle(range(0, len(order) - BATCH, BATCH))

    def reading(read: rivals.Reader, times: int) -> gates.Turn:
        return gates.repeated(
            lambda: read(order[(begin := next(begins)) : begin + BATCH]), times, BATCH
        )

    turns = gates.take_turns(
        {
            name: reading(read, 200 if name == "dsnjax" else 10)
            for name, read in readers.items()
            if read
        },
        rounds,
    )
    gates.rates("Random reads of a batch", turns, "dsnjax")
    return compared(turns, {"reads_vs_arrayrecord": (RECORDS, 20), "reads_vs_arrow": (ARROW, 8)})


if __name__ == "__main__":
    sys.exit(main())
