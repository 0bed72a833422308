"""When steps begin and end, in: their speed, how long they waited for data, a profiler's trace."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import jax

Batch = TypeVar("Batch")


class Clock:
    """Speed of the steps since the last look; a thread of its own watches until it is closed.

    Steps run behind the loop: while it waits for a batch, the device is often still busy with the
    step before. Only what is waited after that step's end is time lost to data.
    """

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, "clock")
        self._ended: Future | None = None
        self._waited = 0.0
        self._look: tuple[int, float] | None = None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def next(self, data: Iterator[Batch]) -> Batch:
        """The next batch; notes how long the devices had nothing to do until it came."""
        asked = time.perf_counter()
        batch = next(data)
        came = time.perf_counter()
        if self._ended is not None and self._ended.done():
            self._waited += max(0.0, came - max(asked, self._ended.result()))
        return batch

    def stepped(self, figure: jax.Array) -> None:
        """Notes a step by a figure of it, which is there when the step has ended."""
        self._ended = self._thread.submit(_end, figure)

    def since(self, step: int, batch_size: int) -> dict[str, float]:
        """Figures up to `step`, whose own figures were read; none at the first look.

        Returns:
            `drawings_per_second`, `step_seconds` and `data_wait`, the share of the time in which
            the devices waited for data. The first look's time would hold the compilation.
        """
        before, waited, now = self._look, self._waited, time.perf_counter()
        self._look, self._waited = (step, now), 0.0
        if before is None or before[0] == step:
            return {}
        seconds, steps = now - before[1], step - before[0]
        return {
            "drawings_per_second": round(steps * batch_size / seconds, 1),
            "step_seconds": round(seconds / steps, 5),
            "data_wait": round(waited / seconds, 4),
        }

    def restart(self, step: int) -> None:
        """Leaves out what was done since the last look, such as validating after `step`."""
        self._look, self._waited = (step, time.perf_counter()), 0.0


def _end(figure: jax.Array) -> float:
    figure.block_until_ready()
    return time.perf_counter()


class Profile:
    """Has jax's profiler look at the steps from `first` to `last`, both with."""

    def __init__(self, window: tuple[int, ...], folder: Path):
        self._first, self._last = window or (0, 0)
        self._folder, self._on = folder, False

    def before(self, step: int) -> None:
        """Starts where `step` is the first of the window, or in it when a run goes on there."""
        if not self._on and self._first <= step <= self._last:
            jax.profiler.start_trace(self._folder)
            self._on = True

    def after(self, step: int, figures: dict[str, jax.Array]) -> None:
        """Writes the trace where `step` is the last one."""
        if self._on and step == self._last:
            jax.block_until_ready(figures)
            self.close()

    def close(self) -> None:
        """Writes what there is, where a run ends within the window."""
        if self._on:
            self._on = False
            jax.profiler.stop_trace()
