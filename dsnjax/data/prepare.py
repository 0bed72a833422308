"""Files of drawings -> a store, in parallel and restartable.

The files are cut into byte ranges, each range becomes a shard (`shards.py`), and the shards are
joined in the order of the files, without the duplicates. The store's bytes depend on the files
and the categories alone: not on the number of jobs, nor on how often it was stopped.
"""

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from rich.table import Table

from dsnjax import config, files, tracking
from dsnjax.data import categories as names
from dsnjax.data import engines, formats, join, noise, shards, split
from dsnjax.data.shards import Range, Sidecar
from dsnjax.data.store import (
    MANIFEST,
    VERSION,
    Counts,
    Manifest,
    Store,
    read_manifest,
    write,
)
from dsnjax.errors import DataError, UserError

RANGE = 8 << 20  # bytes of a file that one task reads
SUFFIXES = tuple(
    f"{form}{packed}" for form in (".ndjson", ".csv", ".bin") for packed in ("", ".gz")
)
BUCKET = ("full/simplified", "full/raw", "full/binary", "simplified", "raw", "binary")
REJECTS = "rejects.ndjson"


Engine = Literal["local", "ray"]


class Plan(msgspec.Struct, frozen=True):
    """All that decides what the store will hold."""

    version: int
    categories: tuple[str, ...]
    sources: tuple[tuple[str, int, int], ...]
    """Path, bytes and time of change in ns of each file."""
    ranges: tuple[Range, ...]
    times: bool = False

    @property
    def checksum(self) -> str:
        """Of what a copy of the files elsewhere has in common with them."""
        sources = [(Path(path).name, size) for path, size, _ in self.sources]
        about = msgspec.json.encode((self.version, self.categories, sources, self.times))
        return hashlib.sha256(about).hexdigest()


@dataclass(frozen=True)
class Summary:
    """What became of the rows that `prepare` read."""

    store: Path
    manifest: Manifest

    def table(self, noisy: config.Noise, rule: config.Split) -> Table:
        """Rows, rejected by reason, duplicates, kept; what a filter and a split make of those."""
        counts = self.manifest.counts
        table = Table("rows", "", title=f"{self.store}", title_justify="left")
        table.columns[1].justify = "right"
        table.add_row("read", f"{counts.rows:,}")
        for reason, rows in sorted(counts.rejected.items()):
            table.add_row(f"rejected, {reason}: {formats.REASONS[reason]}", f"{rows:,}")
        if counts.backwards:
            table.add_row("with times that run backwards, not left out", f"{counts.backwards:,}")
        for what, rows in sorted(counts.duplicates.items()):
            table.add_row(f"duplicates, same {what}", f"{rows:,}")
        if counts.other:
            table.add_row("of other categories", f"{counts.other:,}")
        table.add_row(f"kept, of {len(self.manifest.categories)} categories", f"{counts.kept:,}")
        store = Store.open(self.store)
        outside = int(np.sum(~noise.keep_mask(store.entropy, store.label, noisy)))
        bounds = f"{noisy.low:.0%} to {noisy.high:.0%}"
        table.add_row(f"entropy outside the percentiles {bounds}", f"{outside:,}")
        member = split.members(store, noisy, rule)
        for code, name in enumerate(split.NAMES):
            table.add_row(f"split {name}", f"{np.sum(member == code):,}")
        return table


def prepare(
    sources: Sequence[str | Path],
    store: str | Path,
    categories: str | Path | Sequence[str] | None = None,
    *,
    jobs: int | None = None,
    max_reject_share: float = 0.01,
    times: bool = False,
    engine: Engine = "local",
) -> Summary:
    """Reads drawings from files and writes them as a store.

    Stopped at any moment, even by kill -9, it goes on where it was when it is called again.

    Args:
        sources: files, folders of files, or folders laid out as the official bucket.
        store: the folder to write.
        categories: a preset, a file or a list, as `categories.read` takes it; the names of the
            files where None. The category of a row is its `word`, or else its file's name.
        jobs: processes; one for each processor where None. With more than one, a script calls
            this under `if __name__ == "__main__":`.
        max_reject_share: the share of bad rows from which on there is no store.
        times: keep when each point was drawn; rows that do not say are bad then.
        engine: who makes the shards: processes of this machine, or Ray (an extra).

    Raises:
        UserError: a source or a category is not there; the store holds other drawings.
        DataError: a source is damaged, or too many rows are bad.
        Interrupted: a worker died.
    """
    folder, jobs = Path(store), jobs or os.cpu_count() or 1
    plan = _plan(sources, names.read(categories) if categories else (), times)
    if not (folder / MANIFEST).is_file():
        size = sum(size for _, size, _ in plan.sources)
        with files.locked(folder / ".work"), files.full_disk_told(folder, size):
            work = _work_folder(plan, folder / ".work")
            sidecars = _converted(plan, work, jobs, engine)
            counts = _counted(plan, sidecars, folder, max_reject_share)
            parts = [
                shards.part_file(task.number, part, work)
                for task, sidecar in zip(plan.ranges, sidecars, strict=True)
                for part in range(len(sidecar.parts))
            ]
            words = {word for sidecar in sidecars for word in sidecar.words}
            _write(plan, folder, parts, counts, words)
    manifest = read_manifest(folder)
    if manifest.plan != plan.checksum:
        raise UserError(
            f"{folder}: holds a store of other files, or was made with other categories or times; "
            "name another store or delete it"
        )
    shutil.rmtree(folder / ".work", ignore_errors=True)
    return Summary(folder, manifest)


def _plan(sources: Sequence[str | Path], categories: tuple[str, ...], times: bool) -> Plan:
    ranges, about = [], []
    # Of a bucket that has both, only the raw files say when points were drawn.
    layout = sorted(BUCKET, key=lambda part: times and "raw" not in part)
    found = [file for source in sources for file in _files(Path(source), categories, layout)]
    for file in dict.fromkeys(found):
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(file)!r}: a name that is no UTF-8; rename it") from None
        stat = file.stat()
        about.append((str(file), stat.st_size, stat.st_mtime_ns))
        # These cannot be read from the middle.
        whole = formats.packed(file) or formats.form(file) in (".csv", ".bin", ".svg")
        for begin in range(0, 1 if whole else max(stat.st_size, 1), RANGE):
            ranges.append(Range(len(ranges), str(file), begin, None if whole else RANGE))
    if not categories:
        categories = names.checked(sorted(set(map(formats.stem, found))), "a file")
    return Plan(VERSION, categories, tuple(about), tuple(ranges), times)


def _files(source: Path, categories: tuple[str, ...], layout: Sequence[str]) -> list[Path]:
    """The files of a source, without those that an official name gives to another category."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: no such file or folder")
    folder = next((source / part for part in layout if (source / part).is_dir()), source)
    found = sorted(file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES))
    if not found:
        raise UserError(f"{folder}: no files of drawings here; want {', '.join(SUFFIXES)}")
    unwanted = set(names.known()) - set(categories) if categories else ()
    return [file for file in found if formats.stem(file) not in unwanted]


def _work_folder(plan: Plan, work: Path) -> Path:
    """Where the plan's shards lie; those of other plans are thrown away."""
    own = work / hashlib.sha256(msgspec.json.encode(plan)).hexdigest()[:16]
    for other in work.iterdir():
        if other.is_dir() and other != own:
            shutil.rmtree(other, ignore_errors=True)
    own.mkdir(exist_ok=True)
    return own


def _converted(plan: Plan, work: Path, jobs: int, engine: Engine) -> list[Sidecar]:
    """The sidecars of all ranges, in order."""
    about = {"categories": plan.categories, "folder": work.resolve(), "times": plan.times}
    convert = partial(shards.convert, **about)
    run = {"local": engines.local, "ray": engines.ray}[engine]
    sidecars: dict[int, Sidecar] = {}
    numbers = [task.number for task in plan.ranges]
    before = {number for number in numbers if shards.sidecar_file(number, work).exists()}
    rows = read = 0  # in all, and by this run: what lay there before says nothing of its speed
    begin = time.perf_counter()
    with tracking.bar("reading", len(plan.ranges)) as bar:
        bar.note("starting")
        for number, sidecar in bar.watched(run(convert, plan.ranges, jobs)):
            sidecars[number] = sidecar
            rows += sidecar.counts.rows
            read += 0 if number in before else sidecar.counts.rows
            rate = read / (time.perf_counter() - begin)
            bar.note(f"{rows:,} drawings  {rate:,.0f}/s")
    return [sidecars[number] for number in numbers]


def _counted(
    plan: Plan, sidecars: Sequence[Sidecar], folder: Path, max_reject_share: float
) -> Counts:
    """Sums the counts and describes the rejects in a file, if there are not too many."""
    rejects = list(_rejects(plan, sidecars))
    rejected = sum((Counter(sidecar.counts.rejected) for sidecar in sidecars), Counter())
    rows, bad = sum(sidecar.counts.rows for sidecar in sidecars), rejected.total()
    if bad > max_reject_share * rows:
        raise DataError(
            f"{bad:,} of {rows:,} rows are bad, more than the share of {max_reject_share} that "
            f"max_reject_share allows; the first: {rejects[0]}"
        )
    lines = (msgspec.json.encode(reject) + b"\n" for reject in rejects)
    files.write(folder / REJECTS, b"".join(lines))
    return Counts(
        rows=rows,
        other=sum(sidecar.counts.other for sidecar in sidecars),
        rejected=dict(sorted(rejected.items())),
        backwards=sum(sidecar.counts.backwards for sidecar in sidecars),
    )


def _rejects(plan: Plan, sidecars: Sequence[Sidecar]) -> Iterator[formats.Reject]:
    """The rejects that the shards describe, with lines counted from the top of their file."""
    lines: Counter[str] = Counter()
    for task, sidecar in zip(plan.ranges, sidecars, strict=True):
        for reject in sidecar.rejects:
            line = reject.line + lines[task.file]
            yield msgspec.structs.replace(reject, line=line, file=task.file)
        lines[task.file] += sidecar.lines


def _write(
    plan: Plan, folder: Path, parts: Sequence[Path], counts: Counts, words: Iterable[str]
) -> None:
    """Joins the parts of the shards to a store; `words` are the categories it leaves out."""
    joined = join.Joined(parts)
    counts.kept, counts.duplicates = int(joined.keep.sum()), joined.duplicates
    drawings = np.bincount(joined.label[joined.keep], minlength=len(plan.categories))
    for name, count in zip(plan.categories, drawings, strict=True):
        if not count:
            others = sorted(words)
            say = f"; their rows say {', '.join(others[:5])}: give those to --categories"
            wanted = names.near(name, others) or (say if others else "")
            raise UserError(f"category {name!r}: the sources hold no drawing of it{wanted}")
    about = Manifest(
        version=VERSION,
        categories=plan.categories,
        drawings=tuple(drawings.tolist()),
        counts=counts,
        entropy=shards.ENTROPY,
        plan=plan.checksum,
        columns={},
    )
    with tracking.bar("joining", len(parts)) as bar:
        write(folder, bar.watched(joined.columns()), joined.sizes(), about)
