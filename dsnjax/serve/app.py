"""A network in, the web application around it out: the page, the service, its metrics.

No request, however wrong, ends in 500 or a traceback; each fault says in JSON what and where.
"""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dsnjax.naming import named
from dsnjax.serve import wire
from dsnjax.serve.batching import Answer, Batcher, Full
from dsnjax.serve.site import PAGE, Model

SECONDS_FOR_BODY = 10.0
# Batches that run at once. The other half of the cores reads requests and writes answers.
THREADS = max(1, (os.cpu_count() or 1) // 2)
RETRY_AFTER = "1"  # seconds


@dataclass(frozen=True)
class Options:
    """How a server behaves, beside its model."""

    collect: Path | None = None
    """Folder for drawings that people save under a new name; None keeps none."""
    room: int = 1024
    """Drawings that may wait."""
    patience: float = SECONDS_FOR_BODY
    """Seconds in which a request has to arrive."""


class Service:
    """The routes, over one model."""

    def __init__(self, model: Model, options: Options):
        self.model, self.options = model, options
        self.registry = CollectorRegistry()
        self.batcher = Batcher(model.network, self.registry, room=options.room, threads=THREADS)
        self.requests = Counter(
            "dsnjax_requests", "Requests to /v1.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dsnjax_request_seconds",
            "From a request's head to its answer.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self.drawings = Counter("dsnjax_drawings", "Drawings named.", registry=self.registry)
        self.categories, (rows, columns) = model.about["categories"], model.about["grid"]
        self.cells, self.timed = rows * columns, model.about["timed"]
        about = model.about | {"server": True, "collect": options.collect is not None}
        self.about = msgspec.json.encode(about)
        self.simplifying = 0  # wire.work of the drawings in hand
        self.openapi = msgspec.json.encode(wire.openapi())

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self.batcher.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def predict(self, body: bytes) -> Response:
        asked = wire.read_predict(body, timed=self.timed)
        drawings: list = asked.drawings
        if asked.fit:
            drawings = await self._simplified(drawings)
        try:
            answer = await self.batcher.ask(drawings)
        except Full:
            raise wire.Fault(
                503, f"{self.options.room} drawings wait already; ask again later"
            ) from None
        self.drawings.inc(len(drawings))
        return _json(msgspec.json.encode(self._named(answer, asked)))

    async def _simplified(self, drawings: list) -> list:
        """The drawings as training drawings were; others wait for so much work at most."""
        work = wire.work(drawings)
        if self.simplifying and self.simplifying + work > wire.MAX_WORK:
            raise wire.Fault(503, "long strokes of others are being simplified; ask again later")
        self.simplifying += work
        try:
            return await asyncio.to_thread(wire.simplified, drawings, timed=self.timed)
        finally:
            self.simplifying -= work

    def _named(self, answer: Answer, asked: wire.PredictRequest) -> wire.PredictResponse:
        probabilities, attention = answer
        names = named(probabilities, self.categories, asked.top, asked.min_probability)
        results = []
        for i, top in enumerate(names):
            looked = None
            if asked.attention and attention is not None:
                weights = np.round(attention[i].astype(float), 5).tolist()
                looked = wire.Attention(weights[: self.cells], weights[self.cells :])
            results.append(wire.Named([wire.Guess(*one) for one in top], looked))
        return wire.PredictResponse(results)

    async def collect(self, body: bytes) -> Response:
        if self.options.collect is None:
            raise wire.Fault(404, "this server keeps no drawings; start it with --collect DIR")
        asked = wire.read_collect(body)
        row = {"word": asked.category, "drawing": asked.drawing}
        await asyncio.to_thread(_append, self.options.collect, asked.category, row)
        return _json(msgspec.json.encode(wire.CollectResponse()))

    def answered(
        self, work: Callable[[bytes], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that reads a body and lets `work` answer it, whatever goes wrong."""

        async def endpoint(request: Request) -> Response:
            start, status = time.perf_counter(), 500  # until there is a response
            try:
                response = await self._answer(work, request)
                status = response.status_code
                return response
            finally:
                self.requests.labels(status).inc()
                self.seconds.observe(time.perf_counter() - start)

        return endpoint

    async def _answer(
        self, work: Callable[[bytes], Awaitable[Response]], request: Request
    ) -> Response:
        """What `work` answers, or what is wrong with the request."""
        try:
            return await work(await self._body(request))
        except wire.Fault as fault:
            return problem(fault)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise wire.Fault(415, f"content-type {kind!r}; want application/json")
        try:
            async with asyncio.timeout(self.options.patience):
                return await _limited(request)
        except TimeoutError:
            message = f"the body did not arrive within {self.options.patience:g} s"
            raise wire.Fault(408, message) from None

    async def health(self, _: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def metrics(self, _: Request) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(generate_latest(self.registry), media_type=kind)

    async def describe(self, _: Request) -> Response:
        return _json(self.openapi)

    async def told(self, _: Request) -> Response:
        return _json(self.about)

    async def onnx(self, _: Request) -> Response:
        return Response(self.model.onnx, media_type="application/octet-stream")


def make(model: Model, options: Options | None = None) -> Starlette:
    """The application of a model."""
    service = Service(model, options or Options())
    routes = [
        Route("/v1/predict", service.answered(service.predict), methods=["POST"]),
        Route("/v1/collect", service.answered(service.collect), methods=["POST"]),
        Route("/v1/openapi.json", service.describe),
        Route("/healthz", service.health),
        Route("/metrics", service.metrics),
        Route("/model.json", service.told),
        Route("/model.onnx", service.onnx),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        lifespan=service.lifespan,
        exception_handlers={HTTPException: _refused},
    )


async def _limited(request: Request) -> bytes:
    """The body. Raises Fault as soon as it is known to be too large."""
    body = bytearray()
    size = int(request.headers.get("content-length", 0))  # h11 refused what is no number
    if size <= wire.MAX_BODY:
        async for chunk in request.stream():
            body += chunk
            if len(body) > wire.MAX_BODY:
                break
        else:
            return bytes(body)
    raise wire.Fault(413, f"want at most {wire.MAX_BODY} bytes")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    fault = wire.Fault(error.status_code, error.detail)
    return problem(fault, dict(error.headers or {}))


def problem(fault: wire.Fault, headers: dict[str, str] | None = None) -> Response:
    """What is said of a fault."""
    headers = dict(headers or {})
    if fault.status == 503:
        headers["Retry-After"] = RETRY_AFTER
    if fault.status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not wanted
    body = msgspec.json.encode(wire.Problem(fault.message, fault.path))
    return Response(body, fault.status, headers, media_type="application/json")


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _append(folder: Path, name: str, row: dict) -> None:
    """Adds a row to the category's file, which training reads: one write, so rows stay whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.ndjson").open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise wire.Fault(422, "too long for a file's name", "$.category") from error
        raise wire.Fault(507, f"the drawing cannot be kept: {error.strerror}") from error
