"""The hash of every drawing in, its split out: train, valid or test, the same for ever.

Split by share, a drawing depends on its own hash alone: more drawings, another order or other
categories move none of them. However it is split, two copies of a drawing never part.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from dsnjax import config, files
from dsnjax.data import noise
from dsnjax.data.store import Store
from dsnjax.errors import DataError, UserError

VERSION = 1  # of a split's manifest
TRAIN, VALID, TEST = 0, 1, 2
NONE = -1  # filtered out
NAMES = ("train", "valid", "test")


def members(store: Store, noisy: config.Noise, rule: config.Split) -> np.ndarray:
    """The split of every drawing of a store, noise removed as asked.

    With `filter` all, drawings are filtered first and what is left is split, the paper's way; with
    train, only those that are trained on are filtered, so that figures are of all drawings.

    Returns:
        int8 [n] of TRAIN, VALID, TEST, and NONE for what was filtered out.

    Raises:
        UserError: a category is too small for `fixed`, or the manifest is not there or of others.
        DataError: the manifest is damaged.
    """
    keep = noise.keep_mask(store.entropy, store.label, noisy)
    if noisy.recognized:
        keep &= store.recognized != 0
    rows = np.flatnonzero(keep | (noisy.filter != "all"))
    hash = store.hash[rows]
    result = np.full(len(store), NONE, np.int8)
    if rule.file:
        result[rows] = read(rule.file, store.key_id[rows], hash)
    elif rule.fixed:
        result[rows] = fixed(hash, store.label[rows], rule.fixed, store.categories)
    else:
        result[rows] = split(hash, rule.valid, rule.test)
    if noisy.filter == "train":
        result[(result == TRAIN) & ~keep] = NONE
    return result


def split(hash: np.ndarray, valid: float, test: float) -> np.ndarray:
    """Splits by share; train is what valid and test leave.

    Args:
        hash: uint64 [n], evenly spread: the store's column.
        valid: share of the drawings to choose a model by.
        test: share of the drawings to report. Another share of valid leaves test as it is.

    Returns:
        int8 [n] of TRAIN, VALID, TEST.
    """
    if valid < 0 or test < 0 or valid + test > 1:
        raise ValueError(f"split: want shares that sum to at most 1, got {valid=} and {test=}")
    place = (hash >> np.uint64(11)) * 2.0**-53  # exact: a float64 holds 53 bits
    result = np.full(len(hash), TRAIN, np.int8)
    result[place < test + valid] = VALID
    result[place < test] = TEST
    return result


def fixed(hash: np.ndarray, label: np.ndarray, count: int, categories: Sequence[str]) -> np.ndarray:
    """Splits by number, the paper's way: so many of each category to test, so many to valid.

    In each category the drawings of lowest hash are test, the next are valid. A drawing whose
    strokes stand in another category too is trained on, lest its copy be in another split.

    Args:
        hash: uint64 [n], evenly spread; equal where the strokes are.
        label: [n] the category of each drawing.
        count: drawings of each category for valid, and as many for test; the paper has 512.
        categories: their names, for the message.

    Returns:
        int8 [n] of TRAIN, VALID, TEST.

    Raises:
        UserError: a category has too few drawings to leave one to train on.
    """
    _, inverse, copies = np.unique(hash, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(copies[inverse] == 1)
    rows = rows[np.lexsort((hash[rows], label[rows]))]
    begins = np.flatnonzero(np.diff(label[rows], prepend=-1))
    sizes = np.diff(begins, append=len(rows))
    if not len(rows) or sizes.min() <= 2 * count:
        short = int(label[rows[begins[sizes.argmin()]]]) if len(rows) else 0
        raise UserError(
            f"split: category {categories[short]!r} has {sizes.min(initial=len(rows))} drawings, "
            f"too few for {count} valid and {count} test ones; lower them or split by share"
        )
    rank = np.arange(len(rows)) - np.repeat(begins, sizes)
    result = np.full(len(hash), TRAIN, np.int8)
    result[rows[rank < 2 * count]] = VALID
    result[rows[rank < count]] = TEST
    return result


class _Version(msgspec.Struct):
    """What every version's manifest says."""

    dsnjax_split: int


class _Head(_Version):
    """The first line of a manifest; `sha256` is of all the others."""

    valid: int
    test: int
    sha256: str


def write(path: Path, member: np.ndarray, key_id: np.ndarray, hash: np.ndarray) -> None:
    """Writes which drawings are valid and test, to split another store just so.

    Line after line a split and a `key_id`, or `#` and the hash where there is none, sorted.

    Args:
        member: int8 [n] of TRAIN, VALID, TEST, NONE.
        key_id: uint64 [n], 0 where there is none.
        hash: uint64 [n].
    """
    held = np.flatnonzero(member > TRAIN)
    named = zip(member[held].tolist(), key_id[held].tolist(), hash[held].tolist(), strict=True)
    lines = sorted(f"{NAMES[code]} {key or f'#{mark:016x}'}\n" for code, key, mark in named)
    text = "".join(lines).encode()
    valid, test = (int(np.sum(member == code)) for code in (VALID, TEST))
    head = _Head(VERSION, valid, test, hashlib.sha256(text).hexdigest())
    files.write(path, msgspec.json.encode(head) + b"\n" + text)


def read(path: Path, key_id: np.ndarray, hash: np.ndarray) -> np.ndarray:
    """Splits as a manifest says: what it does not name is trained on, but for copies.

    Args:
        key_id: uint64 [n], 0 where there is none.
        hash: uint64 [n]; a drawing with the hash of a valid or test one goes with it.

    Returns:
        int8 [n] of TRAIN, VALID, TEST.

    Raises:
        UserError: it is not there, names none of these drawings, or is of a newer version.
        DataError: it is no manifest, or not as it was written.
    """
    try:
        line, _, text = path.read_bytes().partition(b"\n")
        version = msgspec.json.decode(line, type=_Version).dsnjax_split
        if version > VERSION:
            raise UserError(
                f"{path}: a split of version {version}, this dsnjax reads {VERSION}; "
                "install a newer dsnjax"
            )
        head = msgspec.json.decode(line, type=_Head)
        found = (text.count(b"valid "), text.count(b"test "), hashlib.sha256(text).hexdigest())
        if found != (head.valid, head.test, head.sha256):
            raise DataError(f"{path}: changed since it was written; get it again")
        pairs = [line.split() for line in text.decode().splitlines()]
        result = np.full(len(hash), TRAIN, np.int8)
        for code in (VALID, TEST):
            ids = [id for name, id in pairs if name == NAMES[code]]
            keys = np.array([int(id) for id in ids if id[0] != "#"], np.uint64)
            marks = np.array([int(id[1:], 16) for id in ids if id[0] == "#"], np.uint64)
            found = np.isin(key_id, keys) | ((key_id == 0) & np.isin(hash, marks))
            result[np.isin(hash, hash[found])] = code
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; write one by dsnjax prepare --write-split"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no manifest of a split ({error})") from None
    if pairs and not result.any():
        raise UserError(f"{path}: names none of the store's drawings; it is of other ones")
    return result
