"""Columns of drawings <-> a folder of .npy files with a manifest, mapped into memory.

`docs/formats.md` describes the folder for readers in other languages.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

import raster
from dsnjax import files, tracking
from dsnjax.errors import DataError, UserError

VERSION = 1
MANIFEST = "manifest.json"

# One row a drawing, but for points (and their times) and stroke_lengths; `index` says where
# each drawing's begin, and has one row more than there are drawings.
COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "points": ("|u1", (2,)),
    "stroke_lengths": ("<u2", ()),
    "index": ("<i8", (2,)),
    "label": ("<u2", ()),
    "key_id": ("<u8", ()),
    "country": ("|S2", ()),
    "recognized": ("|i1", ()),
    "entropy": ("<f4", ()),
    "hash": ("<u8", ()),
    "times": ("<f4", ()),
}
OPTIONAL = ("times",)


class Counts(msgspec.Struct):
    """What became of the rows that were read."""

    rows: int = 0
    kept: int = 0
    other: int = 0
    """Rows of categories that were not asked for."""
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    """By reason: the keys of `formats.REASONS`."""
    duplicates: dict[str, int] = msgspec.field(default_factory=dict)
    """By what was equal: `key_id`, or `strokes` within a category."""
    backwards: int = 0
    """Raw drawings whose times are not in order or begin below 0; they are kept."""


class Column(msgspec.Struct, frozen=True):
    """How a column's file must look."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All that a store says about itself."""

    version: int
    categories: tuple[str, ...]
    drawings: tuple[int, ...]
    """How many of each category."""
    counts: Counts
    entropy: dict[str, int | float | bool | str]
    """The arguments of `raster.render` that the entropies were measured with."""
    plan: str
    """Checksum of the categories and of the names and sizes of the sources."""
    columns: dict[str, Column]


class _Version(msgspec.Struct):
    """What every version's manifest says."""

    version: int


@dataclass(frozen=True)
class Store:
    """Drawings on disk; every column lies in memory only as far as it is read.

    packed: the strokes. label: uint16 [n], a position in `categories`. key_id: uint64 [n], 0
    where there is none. country: S2 [n]. recognized: int8 [n], -1 where it is not known.
    entropy: float32 [n] bits. hash: uint64 [n], what the split is drawn from.
    """

    path: Path
    manifest: Manifest
    packed: raster.Packed = field(repr=False)
    label: np.ndarray = field(repr=False)
    key_id: np.ndarray = field(repr=False)
    country: np.ndarray = field(repr=False)
    recognized: np.ndarray = field(repr=False)
    entropy: np.ndarray = field(repr=False)
    hash: np.ndarray = field(repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of what is trained on, the same wherever the store lies."""
        read = ("points", "stroke_lengths", "label", "entropy", "hash")
        parts = [self.manifest.columns[name].sha256 for name in read]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """Maps the columns of the store at `path`.

        Raises:
            UserError: no store there, or one of a newer version.
            DataError: a column is missing, or of another size than the manifest says.
        """
        path = Path(path)
        manifest = read_manifest(path)
        wanted = manifest.columns.keys() | COLUMNS.keys() - set(OPTIONAL)
        columns = {name: _map(path, name, manifest.columns) for name in COLUMNS if name in wanted}
        _check(path, manifest, columns)
        # Before it is mapped, each page costs a random read: once in order is 20 times faster.
        for column in columns.values():
            column.view(np.uint8).reshape(-1)[::4096].max()
        packed = raster.Packed(
            columns.pop("points"),
            columns.pop("stroke_lengths"),
            columns.pop("index"),
            columns.pop("times", None),
        )
        return cls(path, manifest, packed, **columns)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def categories(self) -> tuple[str, ...]:
        return self.manifest.categories

    def take(self, indices: np.ndarray) -> raster.Packed:
        """The strokes of some drawings, in that order, copied."""
        return self.packed.take(indices)

    def verify(self) -> None:
        """Reads every byte. Raises DataError where one differs from what was written."""
        with tracking.bar("verifying", len(self.manifest.columns)) as bar:
            for name, column in bar.watched(self.manifest.columns.items()):
                path = self.path / f"{name}.npy"
                try:
                    found = files.sha256(path)
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error}); {_AGAIN}") from None
                if found != column.sha256:
                    raise DataError(f"{path}: bytes changed since it was written; {_AGAIN}")


_AGAIN = "delete the store and prepare it again"


def read_manifest(path: Path) -> Manifest:
    """The manifest of the store at `path`, checked; raises as `Store.open` does."""
    file = path / MANIFEST
    if not file.is_file():
        raise UserError(
            f"{path}: no store here; make one with `dsnjax prepare SOURCE --store {path}`"
        )
    text = file.read_bytes()
    try:
        version = msgspec.json.decode(text, type=_Version).version
        if version > VERSION:
            raise UserError(
                f"{path}: store of version {version}, this dsnjax reads {VERSION}; "
                "install a newer dsnjax"
            )
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a manifest ({error}); {_AGAIN}") from None


def write(
    path: Path, parts: Iterable[Mapping[str, np.ndarray]], sizes: Mapping[str, int], about: Manifest
) -> Manifest:
    """Writes parts one after the other into the columns of a store; the manifest comes last.

    Args:
        parts: columns as in COLUMNS of some drawings each, `index` counted from 0.
        sizes: rows of every column over all parts; columns that are not named are not written.
        about: the manifest; its `columns` are filled in here.
    """
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(closing(_Writer(path, name, size)))
            for name, size in sizes.items()
        }
        end = np.zeros((1, 2), np.int64)
        writers["index"].append(end)
        for part in parts:
            for name in sizes.keys() - {"index"}:
                writers[name].append(part[name])
            index = part["index"][1:] + end
            writers["index"].append(index)
            end = index[-1:]
        columns = {name: writer.column() for name, writer in writers.items()}
    about = msgspec.structs.replace(about, columns=columns)
    files.write(path / MANIFEST, msgspec.json.format(msgspec.json.encode(about)))
    return about


class _Writer:
    """One column's file, written from top to bottom and summed on the way."""

    def __init__(self, path: Path, name: str, rows: int):
        self.dtype, width = COLUMNS[name]
        self.shape = (rows, *width)
        self.sum = hashlib.sha256()
        self.file = open(path / f"{name}.npy", "wb")  # noqa: SIM115 (close() is below)
        header = io.BytesIO()
        about = {"descr": self.dtype, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, about)
        self._put(header.getvalue())

    def append(self, rows: np.ndarray) -> None:
        assert rows.dtype.str == self.dtype, (self.file.name, rows.dtype)
        self._put(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)

    def column(self) -> Column:
        self.file.flush()
        os.fsync(self.file.fileno())
        return Column(self.dtype, self.shape, self.sum.hexdigest())

    def close(self) -> None:
        self.file.close()

    def _put(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self.sum.update(data)


def _check(path: Path, manifest: Manifest, columns: Mapping[str, np.ndarray]) -> None:
    """What shapes do not say: the columns fit together. Kernels rely on it without looking."""
    index, ends = columns["index"], (len(columns["points"]), len(columns["stroke_lengths"]))
    if tuple(index[0]) != (0, 0) or tuple(index[-1]) != ends or np.any(index[1:] <= index[:-1]):
        raise DataError(f"{path / 'index.npy'}: does not end where the points do; {_AGAIN}")
    if (label := columns["label"].max()) >= len(manifest.categories):
        raise DataError(
            f"{path / 'label.npy'}: label {label}, but there are {len(manifest.categories)} "
            f"categories; {_AGAIN}"
        )


def _map(path: Path, name: str, columns: Mapping[str, Column]) -> np.ndarray:
    """A column's file as an array, if it looks as the manifest says."""
    file = path / f"{name}.npy"
    try:
        array = np.load(file, mmap_mode="r").view(np.ndarray)
        found = (array.dtype.str, array.shape)
        want = (columns[name].dtype, columns[name].shape)
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(f"{file}: cannot be read ({error}); {_AGAIN}") from None
    if found != want or found[0] != COLUMNS[name][0]:
        raise DataError(f"{file}: want {want}, got {found}; {_AGAIN}")
    return array
