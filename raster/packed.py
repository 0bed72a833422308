"""Packed: many drawings as a few flat arrays, and back.

A drawing is a list of strokes, a stroke `[xs, ys]` or `[xs, ys, ts]`, as in the files of
Quick, Draw!. Ten thousand drawings as lists are a million Python numbers; packed they are three
arrays that can be memory-mapped, sliced by `take` and drawn without touching Python again.
"""

from __future__ import annotations

import itertools
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
        """What the kernels read, without copying where memory lies in order already."""
        return kernels.Columns(*map(_readable, (self.points, self.stroke_lengths, self.index)))

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
        index = np.empty((len(wanted) + 1, 2), np.int64)
        columns = self.columns
        bad = kernels.take_index(columns, wanted, index)
        if bad >= 0:
            if not 0 <= wanted[bad] < len(self):
                raise IndexError(f"take: {wanted[bad]} is beyond the {len(self)} drawings here")
            raise ValueError(_unsound(wanted[bad]))
        n, s = index[-1]
        taken = kernels.Columns(np.empty((n, 2), self.points.dtype), np.empty(s, np.int32), index)
        kernels.take(columns, wanted, taken)
        times = None
        if self.times is not None:
            times = np.empty(n, np.float32)
            kernels.take_times(self.times, columns.index, wanted, times, index)
        return Packed(*taken, times)

    def unpack(self) -> list[list[list[list[float]]]]:
        """The drawings as lists of strokes, [xs, ys], or [xs, ys, ts] where times are known."""
        self.check()
        columns = [self.points[:, 0], self.points[:, 1]]
        if self.times is not None:
            columns.append(self.times)
        drawings = []
        for (p, first), (_, last) in itertools.pairwise(self.index):
            ends = p + np.cumsum(self.stroke_lengths[first:last], dtype=np.int64)
            spans = itertools.pairwise([p, *ends])
            drawings.append([[column[a:z].tolist() for column in columns] for a, z in spans])
        return drawings

    def check(self) -> None:
        """Raises ValueError where the columns disagree or a coordinate is NaN or huge."""
        bad = kernels.first_bad(self.columns)
        if bad >= 0:
            raise ValueError(_unsound(bad))
        if self.points.dtype == np.float32 and not kernels.all_moderate(self.columns.points):
            moderate = np.abs(self.points) <= kernels.HUGE
            point = int(np.flatnonzero(~moderate.all(axis=1))[0])
            raise ValueError(
                f"Packed.points[{point}] is {self.points[point]}; want finite numbers, "
                f"{kernels.HUGE:g} at most"
            )


def pack(drawings: Iterable[Sequence[Sequence[Sequence[float]]]]) -> Packed:
    """Packs drawings in Quick, Draw! form.

    Args:
        drawings: each a list of strokes `[xs, ys]` or `[xs, ys, ts]`, ts in milliseconds. Whole
            numbers of 0..255 throughout give uint8 points, all else float32. Times are kept if
            every stroke has them.

    Raises ValueError for a stroke whose columns differ in length, and for NaN or infinity;
    TypeError for what is not a number.
    """
    strokes, first_stroke = [], [0]
    for number, drawing in enumerate(drawings):
        for stroke in drawing:
            try:
                lengths = [len(column) for column in stroke]
            except TypeError:
                raise TypeError(
                    f"pack: drawing {number} has a stroke that is no [xs, ys]; want drawings, each "
                    "a list of strokes"
                ) from None
            if len(lengths) not in (2, 3) or len(set(lengths)) != 1:
                raise ValueError(
                    f"pack: drawing {number} has a stroke with columns of lengths {lengths}; "
                    "want [xs, ys] or [xs, ys, ts] of equal lengths"
                )
            strokes.append(stroke)
        first_stroke.append(len(strokes))
    lengths = np.array([len(stroke[0]) for stroke in strokes], np.int32)
    ends = np.append(0, np.cumsum(lengths, dtype=np.int64))
    points = np.stack([_flat(strokes, 0, ends[-1]), _flat(strokes, 1, ends[-1])], axis=1)
    timed = bool(strokes) and all(len(stroke) == 3 for stroke in strokes)
    times = _flat(strokes, 2, ends[-1]).astype(np.float32) if timed else None
    index = np.stack([ends[first_stroke], np.array(first_stroke, np.int64)], axis=1)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused
        packed = Packed(points.astype(_narrowest(points)), lengths, index, times)
    packed.check()
    return packed


def _flat(strokes: list, column: int, count: int) -> np.ndarray:
    numbers = itertools.chain.from_iterable(stroke[column] for stroke in strokes)
    try:
        return np.fromiter(numbers, np.float64, count)
    except (TypeError, ValueError) as error:
        raise TypeError(f"pack: a coordinate is no number: {error}") from None


def _narrowest(points: np.ndarray) -> type:
    whole = (points >= 0) & (points <= 255) & (points == np.floor(points))
    return np.uint8 if whole.all() else np.float32


def _readable(array: np.ndarray) -> np.ndarray:
    # Read-only always, so that a memory map and an array of one's own share one compiled kernel.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _require(name: str, array: np.ndarray, shape: tuple, dtypes: tuple) -> None:
    fits = isinstance(array, np.ndarray) and len(shape) == array.ndim
    if fits:
        fits = all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype not in dtypes:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        wanted = ", ".join("n" if axis is None else str(axis) for axis in shape)
        raise TypeError(f"Packed.{name} is {got}; want {names} [{wanted}]")


def _unsound(number: int) -> str:
    return (
        f"drawing {number}: its stroke lengths and its index disagree about how many points it "
        "has; pack the drawings again"
    )
