"""Drawings of many requests in, each request's answer out: those that wait run as one batch.

Nothing waits for a batch to fill. While one runs, requests gather; the next takes what is there.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, Histogram

import raster

SIZE = 64  # drawings of a batch, but a request's stay together
Answer = tuple[np.ndarray, np.ndarray | None]
"""Probabilities [b, k], and attention [b, n] or None."""


class Network(Protocol):
    """What names drawings of 0..255; may be called from several threads."""

    def __call__(self, packed: raster.Packed) -> Answer: ...


class Full(Exception):
    """So many drawings wait that no more are taken."""


@dataclass
class Waiting:
    """The drawings of one request, and whom to tell."""

    drawings: Sequence
    answer: asyncio.Future


class Batcher:
    """A bounded queue of drawings before some threads that name them.

    Args:
        network: names a batch.
        room: drawings that may wait.
        threads: batches that run at once.
    """

    def __init__(self, network: Network, registry: CollectorRegistry, room: int, threads: int):
        self.network, self.room, self.threads = network, room, threads
        self._queue: deque[Waiting] = deque()
        self._arrived = asyncio.Condition()
        self._count = 0
        self._batches = Histogram(
            "dsnjax_batch_drawings",
            "Drawings named together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        waiting = Gauge("dsnjax_waiting_drawings", "Drawings in the queue.", registry=registry)
        waiting.set_function(lambda: self._count)

    async def ask(self, drawings: Sequence) -> Answer:
        """The network's answer for the drawings of one request. Raises Full."""
        # A request larger than the room is taken by an empty queue, else it could never be.
        if self._count and self._count + len(drawings) > self.room:
            raise Full
        one = Waiting(drawings, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._count += len(drawings)
        async with self._arrived:
            self._arrived.notify()
        return await one.answer

    async def run(self) -> None:
        """Names what is asked until cancelled."""
        with ThreadPoolExecutor(self.threads, "network") as pool:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.threads):
                    group.create_task(self._work(pool))

    async def _work(self, pool: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._arrived:
                await self._arrived.wait_for(lambda: self._queue)
            batch = self._next()
            if not batch:
                continue
            self._batches.observe(sum(len(one.drawings) for one in batch))
            try:
                answers = await loop.run_in_executor(pool, self._name, batch)
            except Exception as error:  # a bug: its requests end in 500, the server goes on
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():  # whose client has gone is cancelled
                    one.answer.set_result(answer)

    def _next(self) -> list[Waiting]:
        """What runs next: the requests that waited longest, up to a batch's size."""
        batch, count = [], 0
        while self._queue and (not batch or count + len(self._queue[0].drawings) <= SIZE):
            one = self._queue.popleft()
            self._count -= len(one.drawings)
            if not one.answer.cancelled():
                batch.append(one)
                count += len(one.drawings)
        return batch

    def _name(self, batch: list[Waiting]) -> list[Answer]:
        packed = raster.pack([drawing for one in batch for drawing in one.drawings])
        probabilities, attention = self.network(packed)
        answers, start = [], 0
        for one in batch:
            rows = slice(start, start + len(one.drawings))
            answers.append((probabilities[rows], None if attention is None else attention[rows]))
            start = rows.stop
        return answers
