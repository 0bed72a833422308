"""metrics.jsonl of some runs in, one chart of their accuracy and loss out."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dsnjax.report import figures

MOST = 60  # points of a line


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
                pairs = [(line["step"], line[key]) for line in told if key in line]
                if pairs:
                    lines.append((name + suffix, *averaged(np.array(pairs))))
        panels.append((label, lines))
    return figures.curves(panels, "Accuracy and loss against steps")


def averaged(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values [n, 2] as at most MOST of each: a line's figures are of one batch alone."""
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
