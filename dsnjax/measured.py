"""A work directory in, what was measured of its run out, for those who do without jax."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FILE = "evaluation.json"
PREDICTIONS = "predictions.npz"
ARRAYS = ("row", "hash", "label", "rank", "top", "probability")  # what pages are made of
# What changed bytes end in; RuntimeError where they say that the zip is locked or otherwise packed.
DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def figures(workdir: Path) -> dict[str, Any]:
    """The figures of the last evaluation; none before the first, or where they cannot be read."""
    try:
        told = json.loads((workdir / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def finished(workdir: Path) -> bool:
    """Whether they are of all steps of the run."""
    return figures(workdir).get("steps_left") == 0


def answers(workdir: Path) -> dict[str, np.ndarray]:
    """What was said of each test drawing: arrays of evaluate.keep, none where one is damaged."""
    try:
        with (workdir / PREDICTIONS).open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in ARRAYS}
    except DAMAGE:
        return {}
