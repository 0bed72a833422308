"""SIGTERM or Ctrl-C in, one question out: whether to stop now.

The first signal is looked at between steps, where everything can be saved; a second one ends the
process at once, also while it compiles or saves.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dsnjax import mesh, processes, signals
from dsnjax.errors import Interrupted

Item = TypeVar("Item")


class Stop:
    """Whether this process, or another of the run, was told to stop."""

    def __init__(self):
        self.signals = 0
        self._devices: Mesh | None = None
        self._before: jax.Array | None = None

    def asked(self) -> bool:
        """Whether to stop; the same answer in all processes, which must ask equally often.

        Of several processes it is what was known one question ago: its answer is on its way
        while the devices work, so that asking costs no time.
        """
        if jax.process_count() == 1:
            return self.signals > 0
        if self._devices is None:
            self._devices = mesh.make()
            self._any = jax.jit(jnp.any, out_shardings=mesh.replicated(self._devices))
        flag = np.full(jax.local_device_count(), self.signals > 0)
        answer = self._any(mesh.spread({"stop": flag}, self._devices)["stop"])
        before, self._before = self._before, answer
        return before is not None and bool(before)

    def between(self, items: Iterable[Item], doing: str) -> Iterator[Item]:
        """The items; raises Interrupted before the next one where a stop was asked."""
        for item in items:
            if self.asked():
                raise processes.agreed(
                    Interrupted(f"stopped while {doing}; the same command goes on from there")
                )
            yield item


@contextlib.contextmanager
def watched() -> Iterator[Stop]:
    """Looks after SIGTERM and Ctrl-C, where they come: see signals.heard."""
    stop = Stop()

    def told() -> None:
        stop.signals += 1
        if stop.signals > 1:
            os._exit(Interrupted.exit_code)
        print(
            "dsnjax: stopping at the end of this step; once more ends at once",
            file=sys.stderr,
            flush=True,
        )

    with signals.heard(told):
        yield stop
