import os
import threading
from pathlib import Path

import pytest

from dsnjax.data import engines, shards
from dsnjax.data.store import Counts
from dsnjax.errors import DataError, Interrupted


@pytest.mark.fault
def test_worker_that_dies_is_told_with_the_way_out():
    ranges = [shards.Range(number, "cat.ndjson") for number in range(2)]
    with pytest.raises(Interrupted, match=r"a worker died.*fewer jobs: it goes on where it"):
        list(engines.local(Deadly(), ranges, jobs=2))


@pytest.mark.parametrize("here", [True, False])
def test_where_one_range_fails_the_others_end_at_once(tmp_path, here):
    os.mkfifo(tmp_path / "both")
    ranges = [shards.Range(number, "cat.ndjson") for number in range(2)]
    with pytest.raises(DataError, match="damaged"):
        list(engines.local(Failing(tmp_path / "both", here), ranges, jobs=2))


class Failing:
    """Once two convert, one of them fails, and the other would never end by itself."""

    def __init__(self, both: Path, here: bool):
        self.both, self.here = both, here

    def __call__(self, task: shards.Range, stop: threading.Event | None = None) -> shards.Sidecar:
        with open(self.both, "wb" if stop else "rb"):  # opens when the other one does
            pass
        if bool(stop) == self.here:
            raise DataError("damaged")
        (stop or threading.Event()).wait()
        raise Interrupted("stopped")


class Deadly:
    """Ends the process that unpickles it; the one that made it waits until one is asked to."""

    def __init__(self):
        self.asked = threading.Event()

    def __reduce__(self):
        self.asked.set()
        return os._exit, (1,)

    def __call__(self, task: shards.Range, stop: threading.Event) -> shards.Sidecar:
        self.asked.wait()
        return shards.Sidecar(Counts())
