"""Kaggle's test drawings in, its submission file out: key_id,word with three words a drawing."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

import raster
from dsnjax.data import files, formats
from dsnjax.errors import DataError
from dsnjax.predict import Recognizer, chunks, strokes

ROUNDS = 100  # of balancing; more change nothing that shows


def write(recognizer: Recognizer, sources: Iterable[str], path: Path, *, balanced: bool) -> int:
    """Writes a submission to the Quick, Draw! Doodle Recognition Challenge and gives its rows.

    Args:
        balanced: assign every category about equally often. This is transductive: what is said of
            a drawing depends on all the others. It fits that challenge, whose test drawings are
            balanced, and makes figures that compare with no other protocol.

    Raises:
        DataError: a row that cannot be read or has no key_id, which the challenge would refuse.
    """
    ids, parts = [], []
    for chunk in chunks(recognizer, sources):
        drawings = []
        for row in chunk:
            if isinstance(row, formats.Reject):
                raise DataError(f"submission: {row}")
            if not row.key_id:
                raise DataError(f"submission: row {len(ids) + 1} has no key_id")
            ids.append(row.key_id)
            drawings.append(strokes(row))
        parts.append(recognizer.probabilities(raster.pack(drawings)))
    if not parts:
        raise DataError("submission: no row; want Kaggle's test_simplified.csv")
    chances = np.concatenate(parts)
    chances = balance(chances) if balanced else chances
    best = np.argsort(-chances, axis=1, kind="stable")[:, :3]
    words = [name.replace(" ", "_") for name in recognizer.categories]
    lines = (
        f"{key_id},{' '.join(words[label] for label in labels)}\n"
        for key_id, labels in zip(ids, best.tolist(), strict=True)
    )
    with files.whole(path) as file:
        file.write(("key_id,word\n" + "".join(lines)).encode())
    return len(ids)


def balance(chances: np.ndarray) -> np.ndarray:
    """Probabilities [b, k] weighed so that every category has the same sum, and each row sums to 1.

    Sinkhorn's rounds: rows and columns are scaled in turn.
    """
    weight = np.ones(chances.shape[1])
    wanted = len(chances) / chances.shape[1]
    for _ in range(ROUNDS):
        row = chances @ weight
        weight = wanted / np.maximum((chances / row[:, None]).sum(axis=0), 1e-9)
    found = chances * weight
    return found / found.sum(axis=1, keepdims=True)
