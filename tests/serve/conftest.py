"""A server on loopback, and a made-up network for it that can be made to wait."""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import raster
from dsnjax.serve import app, run
from dsnjax.serve.site import Model

ABOUT = {
    "categories": ("ant", "bird", "cat"),
    "image_size": 32,
    "thickness": 2.0,
    "length": 24,
    "grid": (1, 2),
    "stride": 24,
    "timed": False,
    "browser": False,
}


class Gate:
    """A network that names a drawing by its number of strokes, when it is let."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []

    def __call__(self, packed: raster.Packed):
        self.entered.release()
        assert self.open.wait(60)
        self.sizes.append(len(packed))
        strokes = np.diff(packed.index[:, 1])
        chances = np.full((len(packed), 3), 0.1, np.float32)
        chances[np.arange(len(packed)), np.minimum(strokes, 3) - 1] = 0.8
        return chances, np.full((len(packed), 3), 1 / 3, np.float32)


@contextlib.contextmanager
def _serving(network, **options) -> Iterator[str]:
    """The address of a server of a network or a whole model, which runs in a thread."""
    chosen = app.Options(**options)
    listening = run.listen("127.0.0.1", 0)
    model = network if isinstance(network, Model) else Model(network, b"", ABOUT)
    server = run.server(app.make(model, chosen), chosen)
    # Only the main thread has signals.
    server.capture_signals = contextlib.nullcontext  # type: ignore
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="session")
def serving():
    """What starts a server of a network: a context that gives its address."""
    return _serving


@pytest.fixture(scope="module")
def gate():
    return Gate()
