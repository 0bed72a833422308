"""Packed: many drawings as a few flat arrays, and back.

A drawing is a list of strokes, a stroke `[xs, ys]` or `[xs, ys, ts]`, as in the files of
Quick, Draw!. Ten thousand drawings as lists are a million Python numbers; packed they are three
arrays that can be memory-mapped, sliced by `take` and drawn without touching Python again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raster import kernels


@dataclass(frozen=True, eq=False)
class Packed:
    """Many drawings, one after the other.

    Attributes:
        points: [n, 2] uint8 x and y as stored, or float32 after augmentation and for raw drawings.
        stroke_lengths: [s] how many points each stroke has; int32, or uint16 in a store.
        index: [b + 1, 2] int64 first point and first stroke of each drawing, and the ends.
        times: [n] float32 milliseconds, or None where they are not known.

    Raises TypeError for arrays of another dtype or shape. What they hold is checked by the
    functions that read it, drawing by drawing, so that a memory-mapped store opens at once.
    """

    points: np.ndarray
    stroke_lengths: np.ndarray
    index: np.ndarray
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        _require("points", self.points, (None, 2), (np.uint8, np.float32))
        _require("stroke_lengths", self.stroke_lengths, (None,), (np.int32, np.uint16))
        _require("index", self.index, (None, 2), (np.int64,))
        if len(self.index) == 0:
            raise TypeError("Packed.index has no rows; want [b + 1, 2], one row for no drawings")
        if self.times is not None:
            _require("times", self.times, (len(self.points),), (np.float32,))

    def __len__(self) -> int:
        return len(self.index) - 1

    @property
    def columns(self) -> kernels.Columns:
        """What the kernels read."""
        return kernels.Columns(self.points, self.stroke_lengths, self.index)

    def take(self, indices: Sequence[int] | np.ndarray) -> Packed:
        """The drawings at `indices` [k], in that order, copied into arrays of their own.

        Negative indices count from the end. Reads memory-mapped columns as they lie. Raises
        IndexError for a drawing that is not there and ValueError for one whose columns disagree.
        """
        wanted = np.atleast_1d(np.asarray(indices))
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise TypeError(
                f"take: want a list of whole numbers, got {wanted.dtype} {wanted.shape}"
            )
        wanted = wanted.astype(np.int64)
        wanted[wanted < 0] += len(self)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"take: indices reach beyond the {len(self)} drawings there are")
        index = np.empty((len(wanted) + 1, 2), np.int64)
        bad = kernels.take_index(self.columns, wanted, index)
        if bad >= 0:
            raise ValueError(_unsound(wanted[bad]))
        n, s = index[-1]
        taken = kernels.Columns(np.empty((n, 2), self.points.dtype), np.empty(s, np.int32), index)
        kernels.take(self.columns, wanted, taken)
        times = None
        if self.times is not None:
            times = np.empty(n, np.float32)
            kernels.take_times(self.times, self.index, wanted, times, index)
        return Packed(*taken, times)

    def unpack(self) -> list[list[list[list[float]]]]:
        """The drawings as lists of strokes, [xs, ys], or [xs, ys, ts] where times are known."""
        self.check()
        ends = np.cumsum(self.stroke_lengths, dtype=np.int64)
        columns = [self.points[:, 0], self.points[:, 1]]
        if self.times is not None:
            columns.append(self.times)
        drawings = []
        for (p, first), (_, last) in zip(self.index[:-1], self.index[1:], strict=True):
            bounds = p + np.append(0, ends[first:last] - (ends[first - 1] if first else 0))
            spans = zip(bounds[:-1], bounds[1:], strict=True)
            drawings.append([[column[a:z].tolist() for column in columns] for a, z in spans])
        return drawings

    def check(self) -> None:
        """Raises ValueError where the columns disagree or a coordinate is not finite."""
        bad = kernels.first_bad(self.columns)
        if bad >= 0:
            raise ValueError(_unsound(bad))
        if self.points.dtype == np.float32 and not kernels.all_finite(self.points):
            raise ValueError("Packed.points holds NaN or infinity; want finite coordinates")


def pack(drawings: Iterable[Sequence[Sequence[Sequence[float]]]]) -> Packed:
    """Packs drawings in Quick, Draw! form.

    Args:
        drawings: each a list of strokes `[xs, ys]` or `[xs, ys, ts]`, ts in milliseconds. Whole
            numbers of 0..255 throughout give uint8 points, all else float32. Times are kept if
            every stroke has them.

    Raises ValueError for a stroke whose columns differ in length, and for NaN or infinity.
    """
    strokes, counts = [], [0]
    for number, drawing in enumerate(drawings):
        strokes.extend(_stroke(stroke, number) for stroke in drawing)
        counts.append(len(strokes))
    lengths = np.fromiter((len(stroke[0]) for stroke in strokes), np.int32, len(strokes))
    first_stroke = np.array(counts, np.int64)
    ends = np.append(0, np.cumsum(lengths, dtype=np.int64))
    points = np.empty((ends[-1], 2), np.float64)
    if strokes:
        points[:, 0] = np.concatenate([stroke[0] for stroke in strokes])
        points[:, 1] = np.concatenate([stroke[1] for stroke in strokes])
    if not np.isfinite(points.astype(np.float32)).all():
        raise ValueError("pack: a coordinate is NaN, infinite or beyond float32; want finite ones")
    as_bytes = points.astype(np.uint8) if _whole(points) else points.astype(np.float32)
    times = None
    if strokes and all(len(stroke) == 3 for stroke in strokes):
        times = np.concatenate([stroke[2] for stroke in strokes]).astype(np.float32)
    return Packed(as_bytes, lengths, np.stack([ends[first_stroke], first_stroke], axis=1), times)


def _stroke(stroke: Sequence[Sequence[float]], number: int) -> list[np.ndarray]:
    columns = [np.asarray(column, np.float64) for column in stroke]
    shapes = [column.shape for column in columns]
    if len(columns) not in (2, 3) or len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(
            f"pack: drawing {number} has a stroke with columns of shapes {shapes}; "
            "want [xs, ys] or [xs, ys, ts] of equal lengths"
        )
    return columns


def _whole(points: np.ndarray) -> bool:
    return bool(np.all((points >= 0) & (points <= 255) & (points == np.floor(points))))


def _require(name: str, array: np.ndarray, shape: tuple, dtypes: tuple) -> None:
    fits = len(shape) == array.ndim and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise TypeError(f"Packed.{name} is {array.dtype} {array.shape}; want {names} {shape}")


def _unsound(number: int) -> str:
    return (
        f"drawing {number}: its stroke lengths and its index disagree about how many points it "
        "has; pack the drawings again"
    )
