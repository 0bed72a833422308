import time

import jax
import jax.numpy as jnp

from dsnjax import timing


class Ended:
    """A figure of a step that ended long ago."""

    def block_until_ready(self):
        return self


class Busy:
    """A figure of a step that ends when it is told to."""

    def __init__(self, event):
        self._event = event

    def block_until_ready(self):
        self._event.wait()


def waits(monkeypatch, figure, ends):
    """The share of waiting for a batch that came at 8 s of 10, by a clock of our own."""
    now = iter([0.0, 1.0, 2.0, 8.0, 10.0])  # look, step's end, asked, came, look
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = timing.Clock()
    clock.since(0, 4)
    clock.stepped(figure)
    if ends:
        clock._ended.result()  # type: ignore[union-attr]
    else:
        next(now)
    clock.next(iter([1]))
    return clock.since(2, 4)


def test_waiting_after_the_step_before_has_ended_is_lost(monkeypatch):
    assert waits(monkeypatch, Ended(), True) == {
        "drawings_per_second": 0.8,
        "step_seconds": 5.0,
        "data_wait": 0.6,
    }


def test_waiting_while_the_step_before_runs_costs_nothing(monkeypatch):
    import threading

    event = threading.Event()
    assert waits(monkeypatch, Busy(event), False)["data_wait"] == 0
    event.set()


def test_what_is_done_between_steps_is_no_part_of_them(monkeypatch):
    now = iter([0.0, 50.0, 52.0])  # look, validated, look
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = timing.Clock()
    clock.since(1, 4)
    clock.restart(1)
    assert clock.since(3, 4)["step_seconds"] == 1.0
    clock.close()


def test_the_first_look_tells_nothing_since_it_holds_the_compilation():
    clock = timing.Clock()
    assert clock.since(1, 32) == {}
    clock.close()


def test_the_profiler_writes_a_trace_of_its_window(tmp_path):
    profile, double = timing.Profile((2, 3), tmp_path), jax.jit(lambda x: x * 2)
    for step in range(1, 5):
        profile.before(step)
        profile.after(step, {"loss": double(jnp.ones(3))})
        assert bool(list(tmp_path.rglob("*.xplane.pb"))) == (step >= 3)


def test_a_run_that_ends_within_the_window_leaves_its_trace(tmp_path):
    profile = timing.Profile((1, 9), tmp_path)
    profile.before(1)
    profile.close()
    assert list(tmp_path.rglob("*.xplane.pb"))
