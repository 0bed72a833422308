"""metrics.jsonl of some runs in, one chart of their accuracy and loss out."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dsnjax.report import figures

MOST = 60  # points of a line
PARTS = 12  # a line tells of one batch: drawn is the mean over a 12th of the run, 5 lines at least


def lines(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, without one that a kill cut short; none before it."""
    file, told = workdir / "metrics.jsonl", []
    for line in file.read_bytes().splitlines() if file.is_file() else []:
        with suppress(ValueError):
            told.append(json.loads(line))
    return [line for line in told if isinstance(line, dict)]


def chart(named_lines: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> str:
    """Accuracy, loss and MAP@3 against steps, training and validation (Figures 7, 8 and 12)."""
    panels = []
    for label, own, held in (
        ("MAP@3", "map3", "valid_map3"),  # of the batches of training none is told
        ("accuracy", "accuracy", "valid_accuracy"),
        ("cross entropy", "cross_entropy", "valid_loss"),
    ):
        lines = []
        for name, told in named_lines:
            for suffix, key in (("", own), (figures.DASHED, held)):
                pairs = np.array([(line["step"], line[key]) for line in told if key in line])
                if len(pairs):
                    pairs = pairs if suffix else smoothed(pairs)
                    lines.append((name + suffix, *averaged(pairs)))
        panels.append((label, lines))
    return figures.curves(panels, "Accuracy and loss against steps")


def smoothed(pairs: np.ndarray) -> np.ndarray:
    """Steps, and values as means of those around, fewer at both ends: [n, 2] to [n, 2]."""
    window = np.ones(min(max(len(pairs) // PARTS, 4), len(pairs) - 1) // 2 * 2 + 1)
    total = np.convolve(pairs[:, 1], window, "same")
    count = np.convolve(np.ones(len(pairs)), window, "same")
    return np.stack([pairs[:, 0], total / count], axis=1)


def averaged(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values [n, 2] as at most MOST of each."""
    parts = np.array_split(pairs, min(len(pairs), MOST))
    return tuple(np.array([part.mean(axis=0) for part in parts]).T)


def seconds(lines: Sequence[dict[str, Any]], batch_size: int) -> float | None:
    """Time of all steps by the rates in metrics.jsonl, without compiling and validating.

    A line without a rate, as the first after each start is, counts as the others do.
    """
    timed = known = before = 0.0
    for line in lines:
        if rate := line.get("drawings_per_second"):
            known += line["step"] - before
            timed += (line["step"] - before) * batch_size / rate
        before = line["step"]
    return round(timed * before / known, 1) if known else None
