"""Files of drawings -> a store, in parallel and restartable.

The files are cut into byte ranges, each range becomes a shard (`shards.py`), and the shards are
joined in the order of the files, without the duplicates. The store's bytes depend on the files
and the categories alone: not on the number of jobs, nor on how often it was stopped.
"""

import errno
import hashlib
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import raster
from dsnjax.data import categories as names
from dsnjax.data import files, formats, noise, shards, split
from dsnjax.data.shards import Range, Sidecar
from dsnjax.data.store import (
    COLUMNS,
    MANIFEST,
    VERSION,
    Counts,
    Manifest,
    Store,
    read_manifest,
    write,
)
from dsnjax.errors import DataError, Interrupted, UserError

RANGE = 8 << 20  # bytes of a file that one task reads
SUFFIXES = (".ndjson", ".ndjson.gz", ".csv", ".csv.gz", ".bin")
BUCKET = ("full/simplified", "full/raw", "full/binary", "simplified", "raw", "binary")
REJECTS = "rejects.ndjson"
PACKED = ("points", "stroke_lengths", "index")


class Plan(msgspec.Struct, frozen=True):
    """All that decides what the store will hold."""

    version: int
    categories: tuple[str, ...]
    sources: tuple[tuple[str, int, int], ...]
    """Path, bytes and time of change in ns of each file."""
    ranges: tuple[Range, ...]

    @property
    def checksum(self) -> str:
        """Of what a copy of the files elsewhere has in common with them."""
        sources = [(Path(path).name, size) for path, size, _ in self.sources]
        about = msgspec.json.encode((self.version, self.categories, sources))
        return hashlib.sha256(about).hexdigest()


@dataclass(frozen=True)
class Summary:
    """What became of the rows that `prepare` read."""

    store: Path
    manifest: Manifest

    def table(
        self, low: float = 0.05, high: float = 0.95, valid: float = 0.1, test: float = 0.1
    ) -> Table:
        """Rows, rejected by reason, duplicates, kept; what a filter and a split make of those."""
        counts = self.manifest.counts
        table = Table("rows", "", title=f"{self.store}", title_justify="left")
        table.columns[1].justify = "right"
        table.add_row("read", f"{counts.rows:,}")
        for reason, rows in sorted(counts.rejected.items()):
            table.add_row(f"rejected, {reason}: {formats.REASONS[reason]}", f"{rows:,}")
        for what, rows in sorted(counts.duplicates.items()):
            table.add_row(f"duplicates, same {what}", f"{rows:,}")
        if counts.other:
            table.add_row("of other categories", f"{counts.other:,}")
        table.add_row(f"kept, of {len(self.manifest.categories)} categories", f"{counts.kept:,}")
        store = Store.open(self.store)
        noisy = int(np.sum(~noise.keep_mask(store.entropy, store.label, low, high)))
        table.add_row(f"entropy outside the percentiles {low:.0%} to {high:.0%}", f"{noisy:,}")
        members = np.bincount(split.split(store.hash, valid, test), minlength=3)
        for name, rows in zip(split.NAMES, members, strict=True):
            table.add_row(f"split {name}", f"{rows:,}")
        return table


def prepare(
    sources: Sequence[str | Path],
    store: str | Path,
    categories: str | Path | Sequence[str] | None = None,
    *,
    jobs: int | None = None,
    max_reject_share: float = 0.01,
) -> Summary:
    """Reads drawings from files and writes them as a store.

    Stopped at any moment, even by kill -9, it goes on where it was when it is called again.

    Args:
        sources: files, folders of files, or folders laid out as the official bucket.
        store: the folder to write.
        categories: a preset, a file or a list, as `categories.read` takes it; the names of the
            files where None. The category of a row is its `word`, or else its file's name.
        jobs: processes; one for each processor where None.
        max_reject_share: the share of bad rows from which on there is no store.

    Raises:
        UserError: a source or a category is not there; the store holds other drawings.
        DataError: a source is damaged, or too many rows are bad.
        Interrupted: a worker died.
    """
    folder = Path(store)
    plan = _plan(sources, names.read(categories) if categories else ())
    if not (folder / MANIFEST).is_file():
        try:
            with files.locked(folder / ".work"):
                _build(plan, folder, jobs or os.cpu_count() or 1, max_reject_share)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            need = sum(size for _, size, _ in plan.sources)
            raise UserError(
                f"{folder}: the disk is full; free {need / 1e9:.1f} GB in all and run it again: "
                "it goes on where it stopped"
            ) from None
    manifest = read_manifest(folder)
    if manifest.plan != plan.checksum:
        raise UserError(
            f"{folder}: holds a store of other files or categories; name another store or delete it"
        )
    shutil.rmtree(folder / ".work", ignore_errors=True)
    return Summary(folder, manifest)


def _plan(sources: Sequence[str | Path], categories: tuple[str, ...]) -> Plan:
    ranges, about = [], []
    found = [file for source in sources for file in _files(Path(source), categories)]
    for file in dict.fromkeys(found):
        stat = file.stat()
        about.append((str(file), stat.st_size, stat.st_mtime_ns))
        whole = file.suffix in (".gz", ".csv", ".bin")  # these cannot be read from the middle
        for begin in range(0, 1 if whole else max(stat.st_size, 1), RANGE):
            ranges.append(Range(len(ranges), str(file), begin, None if whole else RANGE))
    categories = categories or tuple(sorted({formats.stem(file) for file in found}))
    return Plan(VERSION, categories, tuple(about), tuple(ranges))


def _files(source: Path, categories: tuple[str, ...]) -> list[Path]:
    """The files of a source, without those that an official name gives to another category."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    folder = next((source / part for part in BUCKET if (source / part).is_dir()), source)
    found = sorted(file for file in folder.iterdir() if file.name.endswith(SUFFIXES))
    if not found:
        raise UserError(f"{folder}: no files of drawings here; want {', '.join(SUFFIXES)}")
    unwanted = set(names.known()) - set(categories) if categories else ()
    return [file for file in found if formats.stem(file) not in unwanted]


def _build(plan: Plan, folder: Path, jobs: int, max_reject_share: float) -> None:
    work = _work_folder(plan, folder / ".work")
    sidecars = _converted(plan, work, jobs)
    rejects = list(_rejects(plan, sidecars))
    counts = _total(sidecars)
    bad = sum(counts.rejected.values())
    if bad > max_reject_share * counts.rows:
        raise DataError(
            f"{bad:,} of {counts.rows:,} rows are bad, more than the share of {max_reject_share} "
            f"that max_reject_share allows; the first: {rejects[0]}"
        )
    parts = [
        shards.part_file(task.number, part, work)
        for task, sidecar in zip(plan.ranges, sidecars, strict=True)
        for part in range(len(sidecar.parts))
    ]
    if not parts:
        _require_all(plan.categories, np.zeros(len(plan.categories)), sidecars)
    label, key_id, strokes = _load(parts, "label", "key_id", "strokes")
    keep, hash, counts.duplicates = unique(label, key_id, strokes)
    counts.kept = int(keep.sum())
    drawings = np.bincount(label[keep], minlength=len(plan.categories))
    _require_all(plan.categories, drawings, sidecars)
    with files.whole(folder / REJECTS) as out:
        out.write(b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects))
    columns = {}
    about = Manifest(
        VERSION,
        plan.categories,
        tuple(drawings.tolist()),
        counts,
        shards.ENTROPY,
        plan.checksum,
        columns,
    )
    write(folder, _kept(parts, keep, hash), _sizes(parts, keep), about)


def _work_folder(plan: Plan, work: Path) -> Path:
    """Where the plan's shards lie; those of other plans are thrown away."""
    own = work / hashlib.sha256(msgspec.json.encode(plan)).hexdigest()[:16]
    for other in work.iterdir():
        if other.is_dir() and other != own:
            shutil.rmtree(other, ignore_errors=True)
    own.mkdir(exist_ok=True)
    return own


def _converted(plan: Plan, work: Path, jobs: int) -> list[Sidecar]:
    """The sidecars of all ranges, in order, made by `jobs` processes."""
    sidecars: dict[int, Sidecar] = {}
    with _progress() as progress:
        bar = progress.add_task("prepare", total=len(plan.ranges), rows=0)
        for number, sidecar in _results(plan, work, jobs):
            sidecars[number] = sidecar
            rows = sum(side.counts.rows for side in sidecars.values())
            progress.update(bar, advance=1, rows=rows)
    return [sidecars[task.number] for task in plan.ranges]


def _results(plan: Plan, work: Path, jobs: int) -> Iterator[tuple[int, Sidecar]]:
    """(number, sidecar) of each range as it gets finished."""
    if jobs == 1:
        for task in plan.ranges:
            yield task.number, shards.convert(task, plan.categories, work)
        return
    pool = ProcessPoolExecutor(min(jobs, len(plan.ranges)), get_context("spawn"), _begin_worker)
    try:
        futures = {
            pool.submit(shards.convert, task, plan.categories, work): task.number
            for task in plan.ranges
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise Interrupted(
            f"{work.parents[1]}: a worker died, perhaps for want of memory; run it again with "
            "fewer jobs: it goes on where it stopped"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Makes a worker end with its parent, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    # A worker that waits for work does not notice that its parent was killed.
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _progress() -> Progress:
    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rows]:,} rows")
    columns = TextColumn("{task.description}"), BarColumn(), rate, TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _total(sidecars: Sequence[Sidecar]) -> Counts:
    rejected = sum((Counter(sidecar.counts.rejected) for sidecar in sidecars), Counter())
    return Counts(
        rows=sum(sidecar.counts.rows for sidecar in sidecars),
        other=sum(sidecar.counts.other for sidecar in sidecars),
        rejected=dict(sorted(rejected.items())),
    )


def _rejects(plan: Plan, sidecars: Sequence[Sidecar]) -> Iterator[formats.Reject]:
    """The rejects that the shards describe, with lines counted from the top of their file."""
    lines: Counter[str] = Counter()
    for task, sidecar in zip(plan.ranges, sidecars, strict=True):
        for reject in sidecar.rejects:
            yield msgspec.structs.replace(reject, line=reject.line + lines[task.file])
        lines[task.file] += sidecar.lines


def _require_all(
    categories: tuple[str, ...], drawings: np.ndarray, sidecars: Sequence[Sidecar]
) -> None:
    """Raises UserError for the first category without a drawing."""
    for name, count in zip(categories, drawings, strict=True):
        if not count:
            words = {word for sidecar in sidecars for word in sidecar.words}
            raise UserError(
                f"category {name!r}: the sources hold no drawing of it{names.near(name, words)}"
            )


def unique(
    label: np.ndarray, key_id: np.ndarray, strokes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Finds drawings that are there twice, and the hash that splits are drawn from.

    The first of several drawings with one key_id is kept, then the first with the same strokes
    in one category. Where the same strokes stand in two categories, both get the hash of the
    first, so that no split trains on what another tests.

    Args:
        label: uint16 [n].
        key_id: uint64 [n], 0 where there is none.
        strokes: uint64 [n], equal where the strokes are.

    Returns:
        keep bool [n], hash uint64 [n] (of no meaning where not kept), duplicates by what is equal.
    """
    keys = mix(key_id)
    keep = (first(keys) == np.arange(len(label))) | (key_id == 0)
    duplicates = {"key_id": int(np.sum(~keep))}
    rows = np.flatnonzero(keep)
    in_category = first(strokes[rows] ^ mix(label[rows].astype(np.uint64)))
    keep[rows[in_category != np.arange(len(rows))]] = False
    duplicates["strokes"] = len(rows) - int(keep.sum())
    hash = np.where(key_id == 0, strokes, keys)
    rows = np.flatnonzero(keep)
    hash[rows] = hash[rows[first(strokes[rows])]]
    return keep, hash, duplicates


def first(values: np.ndarray) -> np.ndarray:
    """The position at which each value stands for the first time: [n] for evenly spread uint64."""
    result = np.empty(len(values), np.int64)
    high = values >> np.uint64(60)
    for bits in range(16):  # a sixteenth at a time: sorting takes four times the memory
        rows = np.flatnonzero(high == bits)
        _, index, inverse = np.unique(values[rows], return_index=True, return_inverse=True)
        result[rows] = rows[index[inverse]]
    return result


def mix(values: np.ndarray) -> np.ndarray:
    """uint64 [n] spread evenly, one to one: splitmix64 (https://prng.di.unimi.it/splitmix64.c)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _load(parts: Sequence[Path], *columns: str) -> list[np.ndarray]:
    """Columns of all parts, joined."""
    found = [_columns(part, *columns) for part in parts]
    return [np.concatenate([part[name] for part in found]) for name in columns]


def _columns(part: Path, *names: str) -> shards.Columns:
    with np.load(part) as columns:
        return {name: columns[name] for name in names or columns.files}


def _kept(parts: Sequence[Path], keep: np.ndarray, hash: np.ndarray) -> Iterator[shards.Columns]:
    """The columns of each part without the duplicates, with their hash."""
    begin = 0
    for part in parts:
        columns = _columns(part)
        end = begin + len(columns["label"])
        rows = np.flatnonzero(keep[begin:end])
        packed = raster.Packed(*(columns[name] for name in PACKED)).take(rows)
        lengths = packed.stroke_lengths.astype(np.uint16)
        yield {
            **{name: column[rows] for name, column in columns.items() if name not in PACKED},
            **dict(zip(PACKED, (packed.points, lengths, packed.index), strict=True)),
            "hash": hash[begin:end][rows],
        }
        begin = end


def _sizes(parts: Sequence[Path], keep: np.ndarray) -> dict[str, int]:
    """Rows of each column once the duplicates are gone."""
    kept = int(keep.sum())
    total, begin = np.zeros(2, np.int64), 0
    for part in parts:
        size = np.diff(_columns(part, "index")["index"], axis=0)  # [b, 2] points and strokes
        total += size[keep[begin : begin + len(size)]].sum(axis=0)
        begin += len(size)
    points, strokes = total.tolist()
    sizes = {"points": points, "stroke_lengths": strokes, "index": kept + 1}
    return dict.fromkeys(COLUMNS, kept) | sizes
