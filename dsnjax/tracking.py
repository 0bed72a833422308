"""What a run says while it runs: a line of metrics.jsonl, and a bar with the time left."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from dsnjax import files

Item = TypeVar("Item")


class Metrics:
    """metrics.jsonl of a work directory: one JSON object a line, each with its step."""

    def __init__(self, path: Path, step: int):
        """Opens the file at `step`; what a killed run wrote beyond it is taken back."""
        there = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        kept = [line for line in there.splitlines() if _step(line) <= step]
        files.write(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, **values: Any) -> None:
        """Appends one line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _step(line: str) -> float:
    """The step of a line; one that a kill cut short lies beyond all."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


class Bar:
    """A progress bar on stderr with a rate, the time left and the figures of the moment."""

    def __init__(self, progress: Progress, task: Any):
        self._progress, self._task = progress, task

    def advance(self) -> None:
        """Moves the bar by one."""
        self._progress.advance(self._task)

    def watched(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the bar moves by one for each."""
        for item in items:
            yield item
            self.advance()

    def note(self, text: str) -> None:
        """Shows the figures of the moment behind the time left."""
        self._progress.update(self._task, note=text)

    def beside(self, items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
        """The items, with a second bar under this one while they last."""
        task = self._progress.add_task(title, total=total, note="")
        for item in items:
            yield item
            self._progress.advance(task)
        self._progress.remove_task(task)

    def say(self, line: str) -> None:
        """Prints a line above the bar, or alone where there is no terminal."""
        if self._progress.console.is_terminal:
            self._progress.console.print(line, highlight=False)
        elif not self._progress.console.quiet:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def bar(title: str, total: int, done: int = 0, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar of `total` steps, of which `done` were taken before; silent when not on a terminal.

    Args:
        quiet: not a word, wherever it is; for processes beside the first.
    """
    console = Console(stderr=True, quiet=quiet)

    # In a narrow terminal the bar goes first, then the end of the note: see Column's ratio.
    def room(least: int) -> Column:
        return Column(no_wrap=True, min_width=least)

    columns = (
        TextColumn("{task.description}", table_column=room(len(title))),
        BarColumn(),
        MofNCompleteColumn(table_column=room(2 * len(str(total)) + 1)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=room(len("0:00:00"))),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, ratio=1)),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total, completed=done, note="")
        yield Bar(progress, task)
