"""Ranges of files -> their shards' sidecars, made by one process, by several, or by Ray.

Every engine calls the same function, which writes a shard and gives its sidecar, and yields
(number, sidecar) as shards get finished: in any order, with the same bytes.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from dsnjax.data.shards import Range, Sidecar
from dsnjax.errors import DataError, Interrupted, extra

Convert = Callable[..., Sidecar]
"""Takes a Range and, here, `stop`: see `shards.convert`."""
Results = Iterator[tuple[int, Sidecar]]
# A cluster of this machine's own needs neither a network nor a page to look at.
ALONE = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}


def local(convert: Convert, ranges: Sequence[Range], jobs: int) -> Results:
    """By this process and `jobs - 1` others: they import for seconds, this one begins at once."""
    jobs = min(jobs, len(ranges))  # all others are started, whether there is work for them or not
    if jobs <= 1:
        for task in ranges:
            yield task.number, convert(task)
        return
    context = get_context("spawn")
    held, holding = context.Pipe(duplex=False)
    others = ProcessPoolExecutor(jobs - 1, context, _begin_worker, (held,))
    here, stop = threading.Lock(), threading.Event()

    def turn(task: Range) -> Sidecar:
        """Converts in the one thread that finds this process free; else another process does."""
        if not here.acquire(blocking=False):
            return others.submit(convert, task).result()
        try:
            return convert(task, stop=stop)
        finally:
            here.release()

    # Ctrl-C is for the main thread. The others' processes begin with the mask of these threads.
    mask = (signal.SIG_BLOCK, (signal.SIGINT,))
    threads = ThreadPoolExecutor(jobs, "prepare", signal.pthread_sigmask, mask)
    try:
        futures = {threads.submit(turn, task): task.number for task in ranges}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise Interrupted(
            "prepare: a worker died, for want of memory or of `if __name__ == '__main__':` in the "
            "script that calls it; run it again with fewer jobs: it goes on where it stopped"
        ) from None
    except BaseException:
        holding.close()  # the others end at once
        raise
    finally:
        stop.set()
        threads.shutdown(cancel_futures=True)
        others.shutdown()


def ray(convert: Convert, ranges: Sequence[Range], jobs: int) -> Results:
    """By Ray Data, on the cluster that RAY_ADDRESS names or on this machine; `jobs` at a time.

    Sources and store must lie at the same paths on all of its machines.
    """
    cluster()
    import ray.data as data  # pyright: ignore[reportMissingImports]

    def one(row: dict) -> dict:
        task = msgspec.json.decode(row["task"], type=Range)
        try:
            return {"number": task.number, "sidecar": msgspec.json.encode(convert(task)), "bad": ""}
        except DataError as error:  # Ray would wrap it and try again
            return {"number": task.number, "sidecar": b"", "bad": str(error)}

    data.DataContext.get_current().enable_progress_bars = False
    # A worker's own folder is not ours.
    tasks = [msgspec.structs.replace(task, file=str(Path(task.file).resolve())) for task in ranges]
    items = [{"task": msgspec.json.encode(task)} for task in tasks]
    side_by_side = data.TaskPoolStrategy(size=jobs)
    results = data.from_items(items, override_num_blocks=len(items)).map(one, compute=side_by_side)
    for row in results.iter_rows():
        if row["bad"]:
            raise DataError(row["bad"])
        yield row["number"], msgspec.json.decode(row["sidecar"], type=Sidecar)


def cluster() -> Any:
    """Ray, joined to the cluster that RAY_ADDRESS names or to one of this machine's own.

    From then on SIGTERM is as Ctrl-C is; Ray's own answer to it would end us with nothing said.

    Raises:
        UserError: Ray is not installed.
    """
    with extra("ray", "engine=ray"):
        import ray  # pyright: ignore[reportMissingImports]
    for name in ("ray", "ray.data"):  # its plans and advice are nothing to one who uses it
        logging.getLogger(name).setLevel(logging.ERROR)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network unless asked
        alone = {} if "RAY_ADDRESS" in os.environ else ALONE
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **alone)
        except SystemExit as stopped:  # Ray's own answer to SIGTERM, while it starts
            raise KeyboardInterrupt from stopped
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _as_ctrl_c)
    return ray


def _as_ctrl_c(number: int, frame: Any) -> None:
    """Answers a launcher's signal as Ctrl-C, to which Ray Train has an answer of its own."""
    answer = signal.getsignal(signal.SIGINT)  # none where a script began us in the background
    (answer if callable(answer) else signal.default_int_handler)(number, frame)


def _begin_worker(held: Connection) -> None:
    """Makes a worker end where its parent lets go of the pipe, or dies."""
    # Shards are whole or not there: what is being converted may be left in the middle.
    threading.Thread(target=lambda: (held.poll(None), os._exit(1)), daemon=True).start()
