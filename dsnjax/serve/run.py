"""A model's folder and an address in, a running server out; ends by SIGTERM or Ctrl-C.

uvicorn serves the application. What it lacks is here: a limit on how long a request's head may
take, and exit code 0 when it has drained.
"""

import asyncio
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dsnjax import bundle, signals
from dsnjax.errors import CheckpointError, UserError
from dsnjax.serve import app, runtime, site, wire

DRAIN = 15  # seconds for what is under way when the server is told to end
CONNECTIONS = 2048


class Impatient(H11Protocol):
    """Answers 408 to a client whose request's head does not arrive in time."""

    patience = app.SECONDS_FOR_BODY
    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """Starts the clock where a head is awaited, and stops it where none is."""
        idle = self.cycle is None or self.cycle.response_complete
        if not idle or self.timeout_keep_alive_task is not None:
            self._forget()
        elif self._head is None:
            self._head = self.loop.call_later(self.patience, self._give_up)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            message = f"the request's head did not arrive within {self.patience:g} s"
            said = app.problem(wire.Fault(408, message))
            head = [b"HTTP/1.1 408 Request Timeout", *(b": ".join(one) for one in said.raw_headers)]
            self.transport.write(b"\r\n".join([*head, b"", bytes(said.body)]))
            self.transport.close()


class Server(uvicorn.Server):
    """Ends with exit code 0 when it has drained after a signal."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own raises the signal again at the end, which would be the exit code.
        before = {number: signal.signal(number, self.handle_exit) for number in signals.STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(model: Path | None, host: str, port: int, options: app.Options) -> None:
    """Serves until told to end.

    Args:
        model: a work directory or a bundle; None for the model that ships with dsnjax.
        port: 0 takes a free one; the line that is printed says which.

    Raises:
        UserError: no usable model, or the address or the folder to collect in cannot be had.
    """
    if options.collect is not None:
        make_writable(options.collect)
    with listen(host, port) as listening:
        try:
            served = site.Model.of(bundle.find(model))
        except CheckpointError as error:
            raise UserError(str(error)) from error
        served.warm_up()
        name = f"[{host}]" if ":" in host else host
        print(f"http://{name}:{listening.getsockname()[1]}/  draw, or POST /v1/predict", flush=True)
        if not runtime.there():
            print(f"the page uses the server only: {runtime.MISSING}", flush=True)
        server(app.make(served, options), options).run(sockets=[listening])


def make_writable(folder: Path) -> None:
    """Makes the folder. Raises UserError where no file can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"serve: --collect {folder}: {error.strerror}; name a folder that can be written"
        ) from error


def server(application: Any, options: app.Options) -> Server:
    """The server of an application."""
    protocol = type("Protocol", (Impatient,), {"patience": options.patience})
    return Server(
        uvicorn.Config(
            application,
            http=protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=DRAIN,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises UserError where it cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=CONNECTIONS)
    except UnicodeError as error:  # an empty or an endless part between the dots
        raise UserError(f"serve: {host}: no name of a host; give another --host") from error
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise UserError(f"serve: {host}:{port}: {why}; give another --host or --port") from error
