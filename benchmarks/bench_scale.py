"""What 50 million drawings cost before they are downloaded: disk, time, memory, random reads.

    python benchmarks/bench_scale.py --json scale.json              # 8 GB, in the temporary folder
    python benchmarks/bench_scale.py --drawings 5000000 --store S

The store is made of made-up drawings, the same ones over and over under other key_ids. It is
deleted at the end unless --store names a place for it. The
gate: full random order in all of them costs little more than in a few.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import gates
import numpy as np
import sources

import raster
from dsnjax import config, tracking
from dsnjax.data import batches
from dsnjax.data.store import Store

BATCH = 256
DATA = config.Data(batch_size=BATCH, threads=0)
BYTES = 160  # of a drawing, to see beforehand whether the disk has room
QUICK = 1_000_000

Row = tuple[str, str, str, str]  # what, figure, memory of its own, memory that is mapped files


def main() -> int:
    parser = gates.options("What a store of very many drawings costs")
    parser.add_argument("--drawings", type=int, default=50_000_000, metavar="N", help="how many")
    parser.add_argument("--store", type=Path, metavar="S", help="a new folder; the store stays")
    chosen = parser.parse_args()
    count = min(chosen.drawings, QUICK) if chosen.quick else chosen.drawings
    print(f"{gates.machine()}; {gates.version('numpy', 'grain', 'numba')}")
    with tempfile.TemporaryDirectory() as folder:
        place = chosen.store or Path(folder) / "store"
        check(place, count)
        base = sources.made_up(Path(folder))
        rows = [*built(base, place, count), *opened(place)]
        gates.show(f"{count:,} drawings", ("what", "figure", "own memory", "mapped files"), rows)
        found = loaded(Store.open(place), base, 5 if chosen.quick else 15)
    return gates.finish(chosen, found)


def check(place: Path, count: int) -> None:
    if count < 1 or place.exists():
        raise SystemExit(f"want a drawing or more in a new folder, got {count} in {place}")
    near = next(folder for folder in place.absolute().parents if folder.is_dir())
    free, need = shutil.disk_usage(near).free, count * BYTES
    if free < need:
        raise SystemExit(
            f"{near}: {free / 1e9:.1f} GB are free, {need / 1e9:.1f} needed; name a folder on "
            "another disk by --store, or fewer --drawings"
        )


def built(base: Store, place: Path, count: int) -> Iterator[Row]:
    with tracking.bar("write", -(-count // len(base))) as bar:
        seconds = timed(lambda: sources.tiled(base, count, place, bar.watched))[1]
    size = sum(file.stat().st_size for file in place.iterdir())
    yield row("write the columns, with checksums", f"{seconds:.1f} s")
    yield row("size", f"{size / 1e9:.2f} GB, {size / count:.0f} bytes a drawing")


def opened(place: Path) -> Iterator[Row]:
    """Opens the store and comes to the first batch, as training does."""
    if forgotten(place):
        seconds = timed(lambda: Store.open(place))[1]
        yield row("open, from disk", f"{seconds:.1f} s")
    store, seconds = timed(lambda: Store.open(place))
    yield row("open, files in the system's memory", f"{seconds:.1f} s")
    rows, seconds = timed(lambda: batches.rows(store, DATA)["train"])
    yield row("filter and split", f"{seconds:.1f} s")
    raster.warm_up()
    with closing(batches.training(store, rows, DATA, seed=0, start=0)) as made:
        seconds = timed(lambda: next(made))[1]
        yield row("first batch, with the order of an epoch", f"{seconds:.1f} s")


def loaded(store: Store, base: Store, rounds: int) -> list[gates.Gate]:
    """Shuffled batches in full random order, from very many drawings and from few."""
    few, many = f"{len(base):,} drawings", f"{len(store):,} drawings"
    rows = np.arange(len(store))
    with ExitStack() as stack:

        def turn(store: Store, rows: np.ndarray, threads: int) -> gates.Turn:
            data = DATA.model_copy(update={"threads": threads})
            made = batches.training(store, rows, data, seed=0, start=0)
            return gates.repeated(stack.enter_context(closing(made)).__next__, 80, BATCH)

        turns = gates.take_turns(
            {
                # As many rows, so that both take the same order, and only the reads differ.
                few: turn(base, rows % len(base), 0),
                many: turn(store, rows, 0),
                f"{many}, one thread ahead": turn(store, rows, 1),
                f"{many}, two threads ahead": turn(store, rows, 2),
            },
            rounds,
        )
    gates.rates("Shuffled batches, image and sequence", turns, many)
    return [gates.at_least("scale_vs_small", gates.times_faster(turns[few], turns[many]), 0.75)]


def timed(make: Callable) -> tuple:
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def forgotten(place: Path) -> bool:
    """Makes the system drop the files from memory, where it offers that."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in place.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def row(what: str, figure: str) -> Row:
    own, mapped = (f"{memory(kind):.2f} GB" for kind in ("RssAnon", "RssFile"))
    return what, figure, own, mapped


def memory(kind: str) -> float:
    """GB that this process holds now, by its kind in /proc; NaN where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1e6 for line in lines if line.startswith(kind))


if __name__ == "__main__":
    sys.exit(main())
