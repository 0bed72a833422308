"""A path, or nothing -> the drawings that a benchmark measures with, as rows or as a store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from dsnjax.data import join, prepare, synthetic
from dsnjax.data.store import COLUMNS, OPTIONAL, Counts, Store, write

MADE_UP = 8_000  # drawings that are different; a third of a millisecond each
HELP = "real drawings: an .ndjson file, a folder of them, or one laid out as the bucket"


def files(path: Path, form: str = "simplified") -> list[Path]:
    """The .ndjson files of a folder, or of `full/FORM` in one laid out as the bucket."""
    folder = path / "full" / form
    found = (
        [path] if path.is_file() else sorted((folder if folder.is_dir() else path).glob("*.ndjson"))
    )
    if not found:
        raise SystemExit(f"--drawings {path}: no .ndjson file there")
    return found


def rows(path: Path | None, count: int) -> list[dict]:
    """`count` rows of all categories in turn, mixed; made up where there is no path."""
    if path is None:
        each = -(-count // len(synthetic.categories()))
        found = list(synthetic.drawings(each, seed=0))
    else:
        each = 2 * count // len(files(path)) + 1  # twice as many, since some files are short
        found = [json.loads(line) for file in files(path) for line in head(file, each)]
    if len(found) < count:
        raise SystemExit(f"--drawings {path}: {len(found)} drawings; want {count}")
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


def head(file: Path, count: int) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        return list(itertools.islice(lines, count))


def store(path: Path | None, folder: Path, count: int) -> Store:
    """A store made in `folder`: of all drawings at a path, or of `count` made-up ones."""
    if path is None:
        tiled(made_up(folder), count, folder / "store")
    else:
        prepare.prepare([path], folder / "store", jobs=1)
    return Store.open(folder / "store")


def made_up(folder: Path) -> Store:
    """A store of made-up drawings that are all different, made in `folder`."""
    synthetic.write(folder / "made-up", MADE_UP // len(synthetic.categories()), seed=0)
    prepare.prepare([folder / "made-up"], folder / "base", jobs=1)
    return Store.open(folder / "base")


def tiled(base: Store, count: int, path: Path, watched: Callable = iter) -> None:
    """Writes a store of `count` drawings: those of `base` over and over, under other key_ids.

    Args:
        watched: goes over the parts, one for each time that `base` is written.
    """
    path.mkdir(parents=True)
    whole, rest = divmod(count, len(base))
    index, kinds = base.packed.index, len(base.categories)
    points, strokes = (whole * index[-1] + index[rest]).tolist()
    sizes = {"points": points, "stroke_lengths": strokes, "index": count + 1}
    drawings = sum(
        times * np.bincount(label, minlength=kinds)
        for times, label in ((whole, base.label), (1, base.label[:rest]))
    )
    about = msgspec.structs.replace(
        base.manifest,
        drawings=tuple(drawings.tolist()),
        counts=Counts(rows=count, kept=count),
        plan="",
    )
    names = [name for name in COLUMNS if name not in OPTIONAL]
    parts = (
        _tile(base, begin, min(len(base), count - begin))
        for begin in watched(range(0, count, len(base)))
    )
    write(path, parts, {name: sizes.get(name, count) for name in names}, about)


def _tile(base: Store, begin: int, size: int) -> dict[str, np.ndarray]:
    """The first `size` drawings of a store, as those from number `begin` on."""
    index = base.packed.index[: size + 1]
    key_id = np.arange(begin, begin + size, dtype=np.uint64) + np.uint64(1 << 52)
    return {
        "points": base.packed.points[: index[-1, 0]],
        "stroke_lengths": base.packed.stroke_lengths[: index[-1, 1]],
        "index": index,
        "label": base.label[:size],
        "key_id": key_id,
        "country": base.country[:size],
        "recognized": base.recognized[:size],
        "entropy": base.entropy[:size],
        "hash": join.mix(key_id),
    }
