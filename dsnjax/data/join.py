"""Shards -> the columns of a store: in their order, without duplicates, with the hash of splits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import raster
from dsnjax.data.shards import Columns
from dsnjax.data.store import COLUMNS, OPTIONAL

PACKED = ("points", "stroke_lengths", "index")


class Joined:
    """The parts of all shards, one after the other.

    label: uint16 [n]. keep: bool [n], False for duplicates. hash: uint64 [n].
    duplicates: how many, by what is equal.
    """

    def __init__(self, parts: Sequence[Path]):
        self.parts = parts
        found = [_read(part, "label", "key_id", "strokes") for part in parts]
        self.label, key_id, strokes = (
            np.concatenate([np.empty(0, dtype), *(part[name] for part in found)])
            for name, dtype in (("label", np.uint16), ("key_id", np.uint64), ("strokes", np.uint64))
        )
        self.keep, self.hash, self.duplicates = unique(self.label, key_id, strokes)

    def sizes(self) -> dict[str, int]:
        """Rows of each column of the store."""
        kept = int(self.keep.sum())
        total, begin = np.zeros(2, np.int64), 0
        for part in self.parts:
            size = np.diff(_read(part, "index")["index"], axis=0)  # [b, 2] points and strokes
            total += size[self.keep[begin : begin + len(size)]].sum(axis=0)
            begin += len(size)
        points, strokes = total.tolist()
        sizes = {"points": points, "stroke_lengths": strokes, "index": kept + 1, "times": points}
        timed = bool(self.parts) and bool(_read(self.parts[0], "times"))
        wanted = [name for name in COLUMNS if timed or name not in OPTIONAL]
        return {name: sizes.get(name, kept) for name in wanted}

    def columns(self) -> Iterator[Columns]:
        """The columns of each part as the store has them."""
        begin = 0
        for part in self.parts:
            columns = _read(part)
            end = begin + len(columns["label"])
            rows = np.flatnonzero(self.keep[begin:end])
            points, lengths, index = (columns.pop(name) for name in PACKED)
            packed = raster.Packed(points, lengths, index, columns.pop("times", None)).take(rows)
            kept = {name: column[rows] for name, column in columns.items()}
            kept |= {"points": packed.points, "index": packed.index}
            kept["stroke_lengths"] = packed.stroke_lengths.astype(np.uint16)
            kept["hash"] = self.hash[begin:end][rows]
            yield kept if packed.times is None else kept | {"times": packed.times}
            begin = end


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


def _read(part: Path, *names: str) -> Columns:
    with np.load(part) as columns:
        return {name: columns[name] for name in columns.files if not names or name in names}
