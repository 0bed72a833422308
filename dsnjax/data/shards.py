"""A byte range of one file -> a shard: its drawings as columns, and a sidecar that sums them up.

Ranges are converted in any order by any number of processes. A shard is finished when its
sidecar is there and its columns have the checksum the sidecar says; it is then never made again.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from itertools import chain, pairwise
from pathlib import Path
from threading import Event
from typing import BinaryIO

import msgspec
import numpy as np

import raster
from dsnjax import files
from dsnjax.data import formats
from dsnjax.data.formats import Drawing, Reject
from dsnjax.data.store import Counts
from dsnjax.errors import Interrupted

Columns = dict[str, np.ndarray]
Labels = Mapping[str | None, int]

# What the entropies are measured on; the filter depends on the renderer, so stores name it.
ENTROPY = {"size": 96, "thickness": 2.0, "antialias": True, "levels": "order"}
BATCH, LIVE = 256, 1 << 20  # drawings or points whose Python objects are alive at a time
PART, POINTS = 1 << 16, 1 << 24  # drawings or points that fill a file of columns
EXAMPLES = 100  # rejects that a shard describes; the others are counted


class Range(msgspec.Struct, frozen=True):
    """Rows to read: those that begin in `size` bytes from `begin` on; all when size is None."""

    number: int
    file: str
    begin: int = 0
    size: int | None = None


class Sidecar(msgspec.Struct):
    """What a shard holds, and what became of the rows that it does not hold."""

    counts: Counts
    lines: int = 0
    words: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows of each category that was not asked for."""
    rejects: list[Reject] = msgspec.field(default_factory=list)
    parts: list[str] = msgspec.field(default_factory=list)
    """Checksum of each file of columns."""


def convert(
    task: Range,
    categories: tuple[str, ...],
    folder: Path,
    times: bool = False,
    stop: Event | None = None,
) -> Sidecar:
    """Makes the shard of a range in `folder`, unless it is there already.

    Args:
        times: keep the times of points; rows without are rejected.
        stop: ends it with Interrupted, without a shard, where another thread sets it.
    """
    if done := finished(task.number, folder):
        return done
    labels: Labels = {name: label for label, name in enumerate(categories)}
    sidecar = Sidecar(Counts())
    with _no_collector(), formats.open_file(task.file) as stream:
        source = _source(stream, task)
        batches = _batches(_kept(source, labels, sidecar, times, stop))
        for part in _parts(columns(batch, labels, times) for batch in batches):
            file = part_file(task.number, len(sidecar.parts), folder)
            with files.whole(file, sync=False) as out:
                np.savez(out, allow_pickle=False, **part)
            sidecar.parts.append(files.sha256(file))
        sidecar.lines = source.number
    with files.whole(sidecar_file(task.number, folder), sync=False) as out:
        out.write(msgspec.json.encode(sidecar))
    return sidecar


def finished(number: int, folder: Path) -> Sidecar | None:
    """The sidecar of a shard, if the shard is all there."""
    try:
        sidecar = msgspec.json.decode(sidecar_file(number, folder).read_bytes(), type=Sidecar)
        found = [
            files.sha256(part_file(number, part, folder)) for part in range(len(sidecar.parts))
        ]
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return sidecar if found == sidecar.parts else None


def sidecar_file(number: int, folder: Path) -> Path:
    """Where a shard's sidecar lies."""
    return folder / f"{number:06}.json"


def part_file(number: int, part: int, folder: Path) -> Path:
    """Where a shard's columns lie."""
    return folder / f"{number:06}-{part:03}.npz"


def columns(drawings: list[Drawing], labels: Labels, times: bool = False) -> Columns:
    """Drawings -> the columns of a store, with `strokes` where that has `hash`.

    Returns:
        As `store.COLUMNS` says, and strokes: uint64 [b], equal where the strokes are.
    """
    count = len(drawings)
    strokes = chain.from_iterable(drawing.drawing for drawing in drawings)
    xs, ys = zip(*strokes, strict=True)
    lengths = np.fromiter(map(len, xs), np.uint16, len(xs))
    ends = np.cumsum([len(drawing.drawing) for drawing in drawings])
    index = np.zeros((count + 1, 2), np.int64)
    index[1:, 0], index[1:, 1] = np.cumsum(lengths, dtype=np.int64)[ends - 1], ends
    points = np.empty((index[-1, 0], 2), np.uint8)
    for axis, lists in enumerate((xs, ys)):
        points[:, axis] = np.frombuffer(bytes(chain.from_iterable(lists)), np.uint8)
    images = raster.render(raster.Packed(points, lengths, index), **ENTROPY)
    known = {None: -1, False: 0, True: 1}
    timed = {"times": np.array(list(_times(drawings)), np.float32)} if times else {}
    return timed | {
        "points": points,
        "stroke_lengths": lengths,
        "index": index,
        "label": np.array([labels[drawing.word] for drawing in drawings], np.uint16),
        "key_id": np.array([drawing.key_id for drawing in drawings], np.uint64),
        "country": np.array([drawing.countrycode or "" for drawing in drawings], "S2"),
        "recognized": np.array([known[drawing.recognized] for drawing in drawings], np.int8),
        "entropy": raster.entropy(images),
        "strokes": _hashes(points, lengths, index),
    }


def _times(drawings: list[Drawing]) -> Iterator[float]:
    """The times of all points."""
    for drawing in drawings:
        yield from chain.from_iterable(drawing.times or ())


def _hashes(points: np.ndarray, lengths: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Of each drawing the first 8 bytes of BLAKE2b over its stroke lengths and its points."""
    points_at, lengths_at = points.reshape(-1).data, lengths.view(np.uint8).data
    digests = []
    for (p, s), (q, t) in pairwise(index.tolist()):
        digest = blake2b(lengths_at[2 * s : 2 * t], digest_size=8)
        digest.update(points_at[2 * p : 2 * q])
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), "<u8")


def _kept(
    source: formats.Source, labels: Labels, sidecar: Sidecar, times: bool, stop: Event | None
) -> Iterator[Drawing]:
    """The drawings of the wanted categories; the other rows are counted in the sidecar."""
    counts, words, stem = sidecar.counts, sidecar.words, formats.stem(source.file)
    for found in formats.rows(source):
        if stop and stop.is_set():
            raise Interrupted("prepare: stopped; the same command goes on")
        counts.rows += 1
        if times and isinstance(found, Drawing) and found.times is None:
            message = "the drawing is a simplified one; keep no times"
            found = Reject("times", source.file, source.number, "$.drawing", message)
        if isinstance(found, Reject):
            counts.rejected[found.reason] = counts.rejected.get(found.reason, 0) + 1
            if len(sidecar.rejects) < EXAMPLES:
                sidecar.rejects.append(found)
            continue
        found.word = found.word or stem
        if found.word in labels:
            counts.kept += 1
            counts.backwards += found.backwards
            yield found
        else:
            counts.other += 1
            words[found.word] = words.get(found.word, 0) + 1


def _batches(drawings: Iterator[Drawing]) -> Iterator[list[Drawing]]:
    """Gathers BATCH drawings or LIVE points, so that few of them are large Python objects."""
    held, points = [], 0
    for drawing in drawings:
        held.append(drawing)
        points += sum(len(xs) for xs, _ in drawing.drawing)
        if len(held) >= BATCH or points >= LIVE:
            yield held
            held, points = [], 0
    if held:
        yield held


def _parts(batches: Iterator[Columns]) -> Iterator[Columns]:
    """Joins batches until they are PART drawings or POINTS points, so that memory stays bounded."""
    held: list[Columns] = []
    for batch in batches:
        held.append(batch)
        drawings, points = (sum(len(one[name]) for one in held) for name in ("label", "points"))
        if drawings >= PART or points >= POINTS:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(parts: list[Columns]) -> Columns:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    index = [np.zeros((1, 2), np.int64)]
    for part in parts:
        index.append(part["index"][1:] + index[-1][-1])
    return joined | {"index": np.concatenate(index)}


@contextmanager
def _no_collector() -> Iterator[None]:
    """Drawings hold no cycles, but are thousands of lists: looking for cycles doubles the time.

    Nor may rejects: an error must not be kept by the function that raises it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _source(stream: BinaryIO, task: Range) -> formats.Source:
    """The rows of a range: a line belongs to the range in which it begins."""
    if task.size is None:
        return formats.Source(stream, task.file)
    end = task.begin + task.size
    if task.begin:
        stream.seek(task.begin - 1)
        while (rest := stream.readline(formats.MAX_LINE)) and not rest.endswith(b"\n"):
            if stream.tell() >= end:  # all of the range is the middle of a line
                break
    return formats.Source(stream, task.file, end - stream.tell())
