"""Requests a second and waiting times: dsnjax serve against plain FastAPI with the same model.

Both run under uvicorn, each in a process of its own, and take turns under the same clients, each of
which sends its next drawing when the last was answered. The plain one does what most people write
first: an endpoint that checks with pydantic and calls the model, in FastAPI's pool of threads.
"""

import asyncio
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path

import gates
import numpy as np

from dsnjax.data import synthetic

GATE = 1.5  # times the plain server's requests a second
CLIENTS = 64


def main() -> int:
    parser = gates.options(__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000, help="in each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=["dsnjax", "plain"], help="instead: be this server")
    chosen = parser.parse_args()
    if chosen.serve:
        return be(chosen.serve)
    if not importlib.util.find_spec("fastapi"):
        raise SystemExit("bench_serve: FastAPI, the rival, is missing; pip install -e .[bench]")
    if chosen.quick:
        chosen.requests, chosen.rounds = 500, 2
    with ExitStack() as stack:
        names = ("plain", "dsnjax")
        return compare(chosen, {name: stack.enter_context(started(name)) for name in names})


def compare(chosen, servers: dict[str, tuple[subprocess.Popen, int]]) -> int:
    """Puts both under load in turn, prints the table and the gate."""
    requests = [encoded(row["drawing"]) for row in synthetic.drawings(20, seed=0)]
    waits: dict[str, list[list[float]]] = {name: [] for name in servers}
    before = {name: cpu_seconds(process) for name, (process, _) in servers.items()}

    def turn(name: str):
        def under_load(_: int) -> int:
            loads = list(islice(cycle(requests), chosen.requests))
            waits[name].append(asyncio.run(load(servers[name][1], loads)))
            return chosen.requests

        return under_load

    seconds = gates.take_turns({name: turn(name) for name in servers}, chosen.rounds)
    rows = []
    for name, spent in seconds.items():
        waited = np.concatenate(waits[name][1:]) * 1000  # the first round is not counted
        rate = 1 / statistics.median(spent)
        busy = (cpu_seconds(servers[name][0]) - before[name]) * 1000
        each = busy / (chosen.requests * (chosen.rounds + 1))
        rows.append((name, round(rate), *np.percentile(waited, (50, 99)).round(1), each))
    title = f"{CLIENTS} clients, one drawing a request, {gates.machine()}"
    gates.show(title, ("server", "requests/s", "p50 ms", "p99 ms", "CPU ms a request"), rows)
    ratio = gates.times_faster(seconds["plain"], seconds["dsnjax"])
    return gates.finish(chosen, [gates.at_least("serve_vs_plain", ratio, GATE)])


def cpu_seconds(process: subprocess.Popen) -> float:
    """What a process has used of the processor; NaN where the system has no /proc."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def encoded(drawing: list) -> bytes:
    body = json.dumps({"drawings": [drawing]}).encode()
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, requests: list[bytes]) -> list[float]:
    """Sends all requests over CLIENTS connections; how long each waited, in seconds."""
    left, waits = iter(requests), []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in left:
            start = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(head.decode())
            await reader.readexactly(int(head.split(b"content-length:")[1].split()[0]))
            waits.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return waits


@contextmanager
def started(name: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server and its port, once it listens; it ends with the block."""
    command = [sys.executable, __file__, "--serve", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.terminate()


def be(name: str) -> int:
    """Serves until terminated."""
    import uvicorn

    from dsnjax import bundle
    from dsnjax.serve import app, run, site

    model = site.Model.of(bundle.read(bundle.PRETRAINED))
    with run.listen("127.0.0.1", 0) as listening:
        print(listening.getsockname()[1], flush=True)
        if name == "dsnjax":
            options = app.Options()
            run.server(app.make(model, options), options).run(sockets=[listening])
        else:
            config = uvicorn.Config(plain(model.onnx), http="h11", log_level="warning")
            uvicorn.Server(config).run(sockets=[listening])
    return 0


def plain(model: bytes):
    """The model behind FastAPI, request by request."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    from dsnjax.export.session import Session

    session = Session(model)
    application = FastAPI()

    class Asked(BaseModel):
        drawings: list[list[list[list[int]]]]
        top: int = 3

    @application.post("/v1/predict")
    def predict(asked: Asked):
        named = session.predict(asked.drawings, asked.top)
        return {"results": [{"top": top} for top in named]}

    return application


if __name__ == "__main__":
    sys.exit(main())
