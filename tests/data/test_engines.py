import os
import threading

import pytest

from dsnjax.data import engines, shards
from dsnjax.data.store import Counts
from dsnjax.errors import Interrupted


@pytest.mark.fault
def test_worker_that_dies_is_told_with_the_way_out():
    ranges = [shards.Range(number, "cat.ndjson") for number in range(2)]
    with pytest.raises(Interrupted, match=r"a worker died.*fewer jobs: it goes on where it"):
        list(engines.local(Deadly(), ranges, jobs=2))


class Deadly:
    """Ends the process that unpickles it; the one that made it waits until one is asked to."""

    def __init__(self):
        self.asked = threading.Event()

    def __reduce__(self):
        self.asked.set()
        return os._exit, (1,)

    def __call__(self, task: shards.Range) -> shards.Sidecar:
        self.asked.wait()
        return shards.Sidecar(Counts())
