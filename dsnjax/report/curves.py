"""metrics.jsonl of some runs in, one chart of their accuracy and loss out."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsnjax.report import figures


def lines(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, without one that a kill cut short; none before it."""
    file, told = workdir / "metrics.jsonl", []
    for line in file.read_bytes().splitlines() if file.is_file() else []:
        with suppress(ValueError):
            told.append(json.loads(line))
    return [line for line in told if isinstance(line, dict)]


def chart(named_lines: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> str:
    """Accuracy and loss against steps, training and validation (the paper's Figures 7 and 8)."""
    panels = []
    for label, own, held in (
        ("accuracy", "accuracy", "valid_accuracy"),
        ("cross entropy", "cross_entropy", "valid_loss"),
    ):
        lines = []
        for name, told in named_lines:
            for suffix, key in (("", own), (figures.DASHED, held)):
                pairs = [(line["step"], line[key]) for line in told if key in line]
                if pairs:
                    steps, values = zip(*pairs, strict=True)
                    lines.append((name + suffix, steps, values))
        panels.append((label, lines))
    return figures.curves(panels, "Accuracy and loss against steps")


def seconds(lines: Sequence[dict[str, Any]], batch_size: int) -> float | None:
    """Time of the steps by the rates in metrics.jsonl, without compiling and validating."""
    total, before = 0.0, 0
    for line in lines:
        if rate := line.get("drawings_per_second"):
            total += (line["step"] - before) * batch_size / rate
        before = line["step"]
    return round(total, 1) or None
