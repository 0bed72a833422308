"""A work directory in, what was measured of its run out, for those who do without jax."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FILE = "evaluation.json"
PREDICTIONS = "predictions.npz"


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
    """What was said of each test drawing, see evaluate.keep; nothing where it cannot be read."""
    try:
        with np.load(workdir / PREDICTIONS) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
