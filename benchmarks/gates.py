"""What benchmarks share: their options, a clock for rivals in turn, their table, gates and JSON."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

Turn = Callable[[int], int]  # the number of the round -> how many units of work were done
Made = TypeVar("Made")


@dataclass(frozen=True)
class Gate:
    """A measured ratio and what it must reach."""

    name: str
    ratio: float
    gate: float
    met: bool


def at_least(name: str, ratio: float, gate: float) -> Gate:
    return Gate(name, round(ratio, 3), gate, ratio >= gate)


def at_most(name: str, ratio: float, gate: float) -> Gate:
    return Gate(name, round(ratio, 3), gate, ratio <= gate)


def options(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark; add those of your own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write machine and gates here")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a gate is not met")
    parser.add_argument("--quick", action="store_true", help="rough figures within a minute")
    return parser


def rival(install: str, make: Callable[[], Made]) -> Made | None:
    """What `make` gives; None, and what to install, where the library it imports is missing."""
    try:
        return make()
    except ImportError as error:
        print(f"{error}; left out with its gate. To measure it: pip install {install}")
        return None


def take_turns(rivals: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Seconds for one unit of work of each rival, in each round.

    A rival is called with the number of the round and returns how many units it did. All take
    their turn in every round, so that what else runs on the machine hinders all alike; the first
    round, which compiles and warms caches, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, rival in rivals.items():
            start = time.perf_counter()
            units = rival(number)
            if number:
                seconds[name].append((time.perf_counter() - start) / units)
    return seconds


def repeated(make: Callable[[], object], times: int, units: int) -> Turn:
    """A turn of so many calls, so that turns of fast and slow rivals last about as long."""

    def turn(number: int) -> int:
        for _ in range(times):
            made = make()
        del made  # not before: the next one is made in other memory, as where both are in use
        return times * units

    return turn


def times_faster(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median over rounds of slow / fast within the round."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def machine() -> str:
    """The processor's name, its cores, and the versions that matter."""
    return f"{_processor()}, {cores()} cores, Python {platform.python_version()}"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version(*libraries: str) -> str:
    """Names and versions of those that are installed."""
    found = []
    for name in libraries:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def _processor() -> str:
    """Linux names it in a file only."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table in Markdown, the form in which docs/benchmarks.md keeps it."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    print(f"\n{title}\n")
    for row in (head, ["-" * width for width in widths], *cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print(f"| {' | '.join(padded)} |")


def rates(title: str, turns: Mapping[str, Sequence[float]], ours: str) -> None:
    """Prints the table of rivals that took turns, their unit of work being a drawing."""
    head = ("what", "us a drawing", "drawings a second", f"times {ours}")
    rows = [
        (
            name,
            f"{1e6 * min(seconds):.2f}",
            f"{1 / min(seconds):,.0f}",
            times_faster(seconds, turns[ours]),
        )
        for name, seconds in turns.items()
    ]
    show(title, head, rows)


def _text(cell: object) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) and abs(cell) < 1000 else str(cell)


def finish(chosen: argparse.Namespace, gates: Sequence[Gate]) -> int:
    """Prints the gates, writes the JSON asked for; returns the exit code."""
    rows = [(gate.name, gate.ratio, gate.gate, "yes" if gate.met else "NO") for gate in gates]
    show("Gates", ("gate", "measured", "wanted", "met"), rows)
    if chosen.json:
        report = {
            "machine": machine(),
            "command": shlex.join(["python", *sys.argv]),
            "gates": [asdict(gate) for gate in gates],
        }
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(chosen.check and not all(gate.met for gate in gates))
