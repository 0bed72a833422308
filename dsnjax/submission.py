"""Kaggle's test drawings in, its submission file out: key_id,word with three words a drawing."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import raster
from dsnjax import files
from dsnjax.data import formats
from dsnjax.errors import DataError, UserError
from dsnjax.naming import named
from dsnjax.predict import Recognizer, chunks

ROUNDS = 100  # of balancing; more change nothing that shows


def write(recognizer: Recognizer, sources: Sequence[str], path: Path, *, balanced: bool) -> int:
    """Writes a submission to the Quick, Draw! Doodle Recognition Challenge and gives its rows.

    Args:
        balanced: assign every category about equally often. This is transductive: what is said of
            a drawing depends on all the others. It fits that challenge, whose test drawings are
            balanced, and makes figures that compare with no other protocol.

    Raises:
        DataError: a row that cannot be read or has no key_id, which the challenge would refuse.
        UserError: the file cannot be written, or is one of the sources; said before anything is
            read.
    """
    if os.path.realpath(path) in map(os.path.realpath, sources):
        raise UserError(f"{path}: holds the drawings themselves; name another file")
    with files.whole(path) as file:
        ids, probabilities = _answers(recognizer, sources)
        probabilities = balance(probabilities) if balanced else probabilities
        words = tuple(name.replace(" ", "_") for name in recognizer.categories)
        lines = (
            f"{key_id},{' '.join(word for word, _ in best)}\n"
            for key_id, best in zip(ids, named(probabilities, words, 3), strict=True)
        )
        file.write(("key_id,word\n" + "".join(lines)).encode())
    return len(ids)


def _answers(recognizer: Recognizer, sources: Iterable[str]) -> tuple[list[int], np.ndarray]:
    """The key_id of every drawing, and its probabilities [b, k]."""
    ids, parts = [], []
    for chunk in chunks(recognizer, sources):
        drawings = []
        for row in chunk:
            if isinstance(row, formats.Reject):
                raise DataError(f"submission: {row}")
            if not row.key_id:
                raise DataError(f"submission: row {len(ids) + 1} has no key_id")
            ids.append(row.key_id)
            drawings.append(row.strokes())
        parts.append(recognizer.probabilities(raster.pack(drawings)))
    if not parts:
        raise DataError("submission: no row; want Kaggle's test_simplified.csv")
    return ids, np.concatenate(parts)


def balance(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities [b, k] weighed so that every category has the same sum, and each row sums to 1.

    Sinkhorn's rounds: rows and columns are scaled in turn.
    """
    weight = np.ones(probabilities.shape[1])
    wanted = len(probabilities) / probabilities.shape[1]
    for _ in range(ROUNDS):
        row = probabilities @ weight
        weight = wanted / np.maximum((probabilities / row[:, None]).sum(axis=0), 1e-9)
    found = probabilities * weight
    return found / found.sum(axis=1, keepdims=True)
