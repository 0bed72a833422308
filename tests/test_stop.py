import os
import signal
import threading

import pytest

from dsnjax import stop
from dsnjax.errors import Interrupted

# One call that never comes back to Python, as a compilation for a while.
BUSY = """
import hashlib
from dsnjax import stop
with stop.watched():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_told_and_asked_for(number, capsys):
    before = signal.getsignal(number)
    with stop.watched() as asked:
        assert not asked.asked()
        os.kill(os.getpid(), number)
    assert asked.asked()
    assert "stopping at the end of this step; once more ends at once" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_items_come_until_a_stop_is_asked():
    asked, seen = stop.Stop(), []
    with pytest.raises(Interrupted, match="stopped while validating; the same command goes on"):
        for item in asked.between(range(9), "validating"):
            seen.append(item)
            asked.signals = int(item == 2)
    assert seen == [0, 1, 2]


def test_a_thread_beside_the_main_one_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with stop.watched():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.fault
def test_a_second_signal_ends_at_once_what_never_comes_back_to_python(ready):
    with ready(BUSY) as running:
        running.send_signal(signal.SIGTERM)
        assert "stopping at the end of this step" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait() == 75
