"""SIGTERM and Ctrl-C in, a call for each of them out, also while Python itself waits."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

STOPS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def heard(told: Callable[[], None]) -> Iterator[None]:
    """Calls `told` at each signal, in a thread of its own, since Python's handlers wait while XLA
    compiles; elsewhere than in the main thread, where none comes, does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while number := ear.recv(1):
            if number[0] in STOPS:
                told()

    # A handler must be set, that signals reach the socket; what it does is the thread's.
    before = {number: signal.signal(number, lambda *_: None) for number in STOPS}
    old = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=listen, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        mouth.close()
        thread.join()
        ear.close()
