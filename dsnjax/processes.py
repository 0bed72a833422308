"""Processes that train together: found in the environment, joined, kept in step, ended as one.

A launcher starts the same command on every machine. Process 0 writes; all compute. Where one is
lost the others end with exit code 75, and the launcher starts all of them again.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from dsnjax import signals
from dsnjax.errors import KINDS, Interrupted, Trouble, UserError, as_trouble, one_line

Kind = TypeVar("Kind", bound=Trouble)
Value = TypeVar("Value")

START = 300  # seconds in which all processes must have come; or as DSNJAX_START_TIMEOUT says
HEARTBEAT = 30  # seconds without a sign of life after which a process counts as lost
TOLD = 8192  # bytes in which a process tells the others what came of its work


@dataclass(frozen=True)
class Cluster:
    """Where this process stands among the others."""

    address: str | None = None  # host:port of process 0; None: jax finds it
    count: int | None = None
    index: int | None = None
    method: str | None = None  # jax's own detection that knows the rest
    alone_on_machine: bool = True  # so that all of its devices are this process's


def seen(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster that a launcher has put into the environment, or None.

    Raises:
        UserError: a launcher was seen, but not all that is needed.
    """
    if environment.get("JAX_COORDINATOR_ADDRESS") or environment.get("JAX_NUM_PROCESSES"):
        return _named(environment)
    if environment.get("SLURM_STEP_NODELIST") and int(environment.get("SLURM_NTASKS", 1)) > 1:
        alone = environment["SLURM_NTASKS"] == environment.get("SLURM_STEP_NUM_NODES")
        return Cluster(method="slurm", alone_on_machine=alone)
    if int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        if "OMPI_MCA_orte_hnp_uri" not in environment:
            raise UserError(
                "Open MPI 5 does not say where process 0 is; "
                "set JAX_COORDINATOR_ADDRESS=HOST:PORT (mpirun -x)"
            )
        return Cluster(
            method="ompi", alone_on_machine=environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
        )
    if "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment:
        if importlib.util.find_spec("kubernetes") is None:
            raise UserError(
                "an indexed Kubernetes job: pip install 'jax[k8s]', or set "
                "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
            )
        return Cluster(method="k8s")
    return None


def _named(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster of our own three variables; Open MPI's may stand for the two numbers."""
    address = environment.get("JAX_COORDINATOR_ADDRESS", "")
    numbers = {
        "JAX_NUM_PROCESSES": environment.get("OMPI_COMM_WORLD_SIZE", ""),
        "JAX_PROCESS_ID": environment.get("OMPI_COMM_WORLD_RANK", ""),
    }
    for name, otherwise in numbers.items():
        numbers[name] = value = environment.get(name, otherwise)
        if not value.isdecimal():
            raise UserError(f"{name}={value}: want a number, beside JAX_COORDINATOR_ADDRESS")
    count, index = map(int, numbers.values())
    if count <= 1:
        return None
    if not 0 <= index < count:
        raise UserError(f"JAX_PROCESS_ID={index}: want 0 to {count - 1}")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise UserError(f"JAX_COORDINATOR_ADDRESS={address}: want HOST:PORT of process 0")
    return Cluster(address, count, index)


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Computes together with the other processes, where a launcher started several.

    A trouble that all of them met ends all of them alike. One that only this process met ends it
    at once, with its exit code; the others then notice that it is lost.

    Raises:
        Interrupted: the other processes did not come, or the port is taken.
    """
    cluster = None if jax.distributed.is_initialized() else seen(os.environ)
    if cluster:
        _join(cluster)
    if jax.process_count() == 1:
        yield
        return
    _exit_75_when_aborted(2, "another process was lost, or the runtime failed; start all again")
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, Trouble) and error.shared):
            # jax's own way out would wait for processes that may no longer answer.
            os._exit(_tell(error))
        raise
    finally:
        if cluster:
            jax.distributed.shutdown()


def first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def agreed(trouble: Kind) -> Kind:
    """A trouble that all processes meet at the same place; the first one says it."""
    trouble.shared, trouble.said = True, not first()
    return trouble


def together(work: Callable[[], Any]) -> Any:
    """What `work` gives on process 0, told to all; what it raises there, all raise.

    Args:
        work: gives what JSON can hold, in a few kilobytes.
    """
    if jax.process_count() == 1:
        return work()
    told: dict[str, Any] = {}
    if first():
        try:
            told = {"value": work()}
        except (Trouble, OSError) as error:
            told = _page(error)
    return _met(told)["value"]


def alike(work: Callable[[], Value]) -> Value:
    """What `work` gives on this process; a trouble that any process meets in it, all raise.

    Where the others have gone on into a `together` of their work, they hear of it there.
    """
    if jax.process_count() == 1:
        return work()
    try:
        value = work()
    except (Trouble, OSError) as error:
        if not (isinstance(error, Trouble) and error.shared):
            _met(_page(error))
        raise
    _met({})
    return value


def _page(error: Trouble | OSError) -> dict[str, str]:
    """A trouble as the others are told it; a bug stays this process's own."""
    if not (trouble := as_trouble(error)):
        raise error
    return {"kind": type(trouble).__name__, "text": str(trouble)[: TOLD // 5]}


def _met(told: dict[str, Any]) -> dict[str, Any]:
    """What process 0 tells, once all have told; raises the first trouble that one tells of."""
    page = np.zeros(TOLD, np.uint8)
    text = json.dumps(told, ensure_ascii=False).encode()
    page[: len(text)] = np.frombuffer(text, np.uint8)
    pages = np.asarray(multihost_utils.process_allgather(page))
    everyone = [json.loads(page.tobytes().rstrip(b"\0")) for page in pages]
    for index, one in enumerate(everyone):
        if "kind" in one:
            of = f"process {index}: " if index else ""
            raise agreed(KINDS[one["kind"]](of + one["text"]))
    return everyone[0]


def _join(cluster: Cluster) -> None:
    """Starts jax.distributed, or raises Interrupted with the reason."""
    given = os.environ.get("DSNJAX_START_TIMEOUT", str(START))
    if not given.isdecimal():
        raise UserError(f"DSNJAX_START_TIMEOUT={given}: want a number of seconds")
    seconds = int(given)
    # jax's preemption service would take SIGTERM for itself; dsnjax.stop looks after that.
    jax.config.update("jax_enable_preemption_service", False)
    if cluster.address and cluster.index:
        seconds = _wait_for(cluster.address, seconds)
    elif cluster.address:
        _check_port(cluster.address)
    try:
        with _muted():
            jax.distributed.initialize(
                cluster.address,
                cluster.count,
                cluster.index,
                # Without a detector's word all devices that this process can see are its own.
                cluster_detection_method=cluster.method or "deactivate",
                initialization_timeout=seconds,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=HEARTBEAT,
            )
    except (RuntimeError, ValueError, OSError) as error:
        what = one_line(error)[:200]
        raise Interrupted(
            f"process {cluster.index or 0} cannot start: {what}; start all processes again"
        ) from error
    if cluster.method and cluster.alone_on_machine:
        # jax takes one device for a process that SLURM or Open MPI started.
        jax.config.update("jax_cuda_visible_devices", "all")


def _check_port(address: str) -> None:
    """Raises Interrupted where the port is taken: the runtime may crash when it finds out."""
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        raise Interrupted(
            f"process 0 cannot answer at {address}: {error.strerror}; "
            "give another port, or start all processes again when it is free"
        ) from error


def _wait_for(address: str, seconds: int) -> int:
    """Waits until process 0 answers; gives the seconds that are left."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
                return max(1, int(end - time.monotonic()))
        except UnicodeError as error:
            raise UserError(f"JAX_COORDINATOR_ADDRESS={address}: {host!r} is no host") from error
        except OSError as error:
            if time.monotonic() > end:
                raise Interrupted(
                    f"process 0 does not answer at {address} for {seconds} s ({error}); "
                    "start all processes again"
                ) from error
            time.sleep(0.2)


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """The runtime explains a failed start on 50 lines; we do it on one, also where it aborts.

    A signal ends it at once: it waits without a look at Python's handlers.
    """
    with tempfile.TemporaryFile() as nowhere, open(os.dup(2), "wb") as stderr:
        os.dup2(nowhere.fileno(), 2)
        _exit_75_when_aborted(stderr.fileno(), "not all processes came in time; start all again")
        stopped = "stopped while waiting for the other processes; start all again"
        try:
            with signals.heard(lambda: _exit_75(stderr.fileno(), stopped)):
                yield
        finally:
            os.dup2(stderr.fileno(), 2)


_keep_alive = []  # C holds no reference to a Python function


def _exit_75_when_aborted(stderr: int, why: str) -> None:
    """Lets the runtime's abort, its answer to a lost coordinator, be exit code 75 and one line."""

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def aborted(number: int) -> None:
        _exit_75(stderr, why)

    _keep_alive.append(aborted)
    ctypes.CDLL(None).signal(int(signal.SIGABRT), aborted)


def _exit_75(stderr: int, why: str) -> None:
    os.write(stderr, f"dsnjax: {why}\n".encode())
    os._exit(Interrupted.exit_code)


def _tell(error: BaseException) -> int:
    """Says what ended this process, and gives its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if _lost_a_peer(error):
        what = one_line(error)[:120]
        print(f"dsnjax: another process was lost ({what}); start all again", file=sys.stderr)
        code = Interrupted.exit_code
    elif trouble := as_trouble(error):
        print(f"dsnjax: process {jax.process_index()}: {trouble}", file=sys.stderr)
        code = trouble.exit_code
    else:
        traceback.print_exception(error)
        code = 1
    sys.stderr.flush()
    return code


# What a runtime error begins with that comes again, as want of memory does; and what it names
# where it is of a connection all the same.
OWN = ("RESOURCE_EXHAUSTED", "INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED")
PEERS = re.compile(r"gloo|nccl|connection|socket|peer|heartbeat|coordination", re.IGNORECASE)


def _lost_a_peer(error: BaseException) -> bool:
    """Whether it is how a collective over a broken connection ends."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return not str(error).startswith(OWN) or bool(PEERS.search(str(error)))
    if type(error) is TimeoutError:
        return "barrier" in str(error)  # of Orbax, where checkpoints are read and saved
    return type(error) is ValueError and "Gloo" in str(error)  # on a CPU
