import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import yaml

from dsnjax import config, processes, stop, train
from dsnjax.errors import Interrupted, UserError
from dsnjax.processes import Cluster
from dsnjax.workdir import Workdir

ROOT = Path(__file__).parents[1]
SOON = 25  # seconds after the death of one process in which the others end, before jax says so
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
NAMED = {
    "JAX_COORDINATOR_ADDRESS": "node01:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
INDEXED = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.mark.parametrize(
    ("environment", "cluster"),
    [
        ({}, None),
        (NAMED, Cluster("node01:1234", 4, 3)),
        (NAMED | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        (SLURM, Cluster(method="slurm")),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        (SLURM | {"SLURM_NTASKS": "16"}, Cluster(method="slurm", alone_on_machine=False)),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, None),  # sbatch without srun
        (
            OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"},
            Cluster(method="ompi", alone_on_machine=False),
        ),
        (OPEN_MPI | {"JAX_COORDINATOR_ADDRESS": "a:1"}, Cluster("a:1", 2, 1)),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ],
)
def test_a_launcher_is_seen_in_the_environment(environment, cluster):
    assert processes.seen(environment) == cluster


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "JAX_NUM_PROCESSES=: want a number"),
        (NAMED | {"JAX_PROCESS_ID": "x"}, "JAX_PROCESS_ID=x: want a number"),
        (NAMED | {"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID=4: want 0 to 3"),
        (NAMED | {"JAX_COORDINATOR_ADDRESS": "node"}, "ADDRESS=node: want HOST:PORT of process 0"),
        (NAMED | {"JAX_COORDINATOR_ADDRESS": "a:70000"}, "ADDRESS=a:70000: want HOST:PORT"),
        (OPEN_MPI, "Open MPI 5 does not say where process 0 is; set JAX_COORDINATOR_ADDRESS"),
        (INDEXED, r"pip install 'jax\[k8s\]', or set JAX_COORDINATOR_ADDRESS"),
    ],
)
def test_half_a_cluster_is_refused_with_what_is_missing(environment, message, monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=message):
        processes.seen(environment)


def test_an_indexed_job_of_kubernetes_is_left_to_jax(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: name)
    assert processes.seen(INDEXED) == Cluster(method="k8s")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_coordinator_that_does_not_answer_is_named_when_the_time_is_up():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Interrupted, match=f"process 0 does not answer at {address} for 0 s"):
        processes._wait_for(address, 0)


def test_an_address_that_can_be_none_is_not_waited_for():
    with pytest.raises(UserError, match=r"JAX_COORDINATOR_ADDRESS=a\.\.b:1: 'a\.\.b' is no host"):
        processes._wait_for("a..b:1", 60)


def test_a_port_that_is_taken_is_said_before_the_runtime_finds_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Interrupted, match=f"cannot answer at {address}: .*; give another port"):
            processes._check_port(address)
    processes._check_port(address)


LOST = "dsnjax: another process was lost ("


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "full"), 75, "dsnjax: process 0: full; make room; the same comm"),
        (KeyboardInterrupt(), 75, "dsnjax: process 0: interrupted; the same command goes on"),
        (UserError("no store"), 2, "dsnjax: process 0: no store"),
        (jax.errors.JaxRuntimeError("UNAVAILABLE: reset"), 75, LOST),
        (ValueError("UNKNOWN: Gloo all-reduce failed"), 75, LOST),
        (TimeoutError("Timeout waiting at barrier 'sync'. UNAVAILABLE: Task 1"), 75, LOST),
        (TimeoutError("of something else"), 1, "TimeoutError: of something else"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
            1,
            "jax.errors.JaxRuntimeError: RES",
        ),
        (jax.errors.JaxRuntimeError("INTERNAL: Gloo all-reduce: Connection reset"), 75, LOST),
        (
            jax.errors.JaxRuntimeError("INTERNAL: cuDNN graph execution failed"),
            1,
            "jax.errors.JaxRuntimeError: INT",
        ),
        (ValueError("shapes"), 1, "ValueError: shapes"),
    ],
)
def test_what_ends_one_process_of_several_is_said_with_its_exit_code(capsys, error, code, said):
    assert processes._tell(error) == code
    assert capsys.readouterr().err.startswith(said)


def test_what_one_process_alone_does_together_is_just_done():
    assert processes.together(lambda: {"a": 1}) == {"a": 1}


@pytest.fixture(scope="module")
def start(tmp_path_factory, tiny):
    """Starts processes of one run and gives exit code and standard error of each."""
    home = tmp_path_factory.mktemp("start")
    (home / "mine.yaml").write_text(yaml.safe_dump(tiny.model_dump(mode="json")))

    def run(workdir, environments, faults=("none asked 0",) * 2, words=("", "")):
        running = [
            subprocess.Popen(
                [
                    *(sys.executable, str(ROOT / "tests" / "faulty.py"), *fault.split()),
                    *("train", "--config", str(home / "mine.yaml"), *more.split()),
                    *(() if "--workdir" in more else ("--workdir", str(workdir))),
                ],
                cwd=ROOT,
                env=os.environ
                | {
                    "PYTHONPATH": str(ROOT),
                    "JAX_COMPILATION_CACHE_DIR": str(home / "cache"),
                }
                | environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for environment, fault, more in zip(environments, faults, words, strict=False)
        ]
        killed = [one for one, fault in zip(running, faults, strict=False) if "kill" in fault]
        for one in killed:
            one.wait()
        said = [one.communicate(timeout=SOON if killed else None)[1] for one in running]
        return [(one.returncode, err) for one, err in zip(running, said, strict=True)]

    return run


def named():
    """The environments of two processes on this machine."""
    address = f"127.0.0.1:{free_port()}"
    return [
        {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        }
        for index in range(2)
    ]


def slurm():
    """The same as SLURM sets them; jax derives the port from the number of the job."""
    job = next(job for job in range(4096) if _is_free(61440 + job))
    fake = SLURM | {"SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": str(job)}
    return [fake | {"SLURM_PROCID": str(index)} for index in range(2)]


def open_mpi():
    """The same as mpirun of Open MPI 4 sets them; the port comes from the number of the job."""
    job = next(job for job in range(4096) if _is_free(61440 + job))
    return [
        {
            "OMPI_MCA_orte_hnp_uri": f"{job * 4096}.0;tcp://127.0.0.1:1",
            "OMPI_COMM_WORLD_SIZE": "2",
            "OMPI_COMM_WORLD_RANK": str(index),
            "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
        }
        for index in range(2)
    ]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def assert_same_figures(path, other):
    """The same steps with the same losses and figures, within what adding up in parts changes."""
    for file in ("metrics.jsonl", "evaluation.json"):
        found, wanted = (
            [json.loads(line) for line in _lines(folder / file)] for folder in (path, other)
        )
        for one, two in zip(found, wanted, strict=True):
            for name in ("step", "loss", "valid_loss", "drawings"):
                if name in one:
                    assert one[name] == pytest.approx(two[name], rel=1e-4), name


def _lines(file):
    text = file.read_text()
    return [text] if file.suffix == ".json" else text.splitlines()


@pytest.mark.multihost
@pytest.mark.slow
@pytest.mark.fault
def test_two_processes_stop_at_one_step_and_one_goes_on(start, trained, tmp_path):
    """Only the second is told to stop. They start from a model, and share one copy of theirs."""
    words = f"--init-from {trained} --loss.centers fixed --loss.alpha 0.01 --mesh.fsdp 2"
    faults = ("none asked 0", "stop asked 12")  # seven times for the centers, then at each step
    ended = start(tmp_path / "run", named(), faults, [words] * 2)
    assert [code for code, _ in ended] == [75, 75]
    assert "stopped at step 6 of" in ended[0][1]
    assert ended[1][1] == ""
    run = Workdir(tmp_path / "run").config().model_copy(update={"mesh": config.Mesh()})
    assert (run.init.model, run.loss.centers) == (str(trained), "fixed")
    train.train(run, Workdir(tmp_path / "run"))
    train.train(run, Workdir(tmp_path / "whole"))
    assert_same_figures(tmp_path / "run", tmp_path / "whole")


@pytest.mark.multihost
@pytest.mark.slow
def test_one_process_stops_and_two_of_slurm_go_on(start, trained, tmp_path, monkeypatch):
    calls = iter(range(10_000))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(stop.Stop, "asked", lambda self: next(calls) >= 5)
        train.train(Workdir(trained).config(), Workdir(tmp_path / "run"))
    assert [code for code, _ in start(tmp_path / "run", slurm())] == [0, 0]
    assert_same_figures(tmp_path / "run", trained)


@pytest.mark.multihost
@pytest.mark.slow
@pytest.mark.fault
def test_who_is_left_ends_soon_with_75_and_says_why_and_all_go_on_when_started_again(
    start, trained, tmp_path
):
    for victim in (0, 1):
        faults = ["none asked 0", "none asked 0"]
        faults[victim] = "kill asked 3"
        ended = start(tmp_path / "run", named(), faults)
        assert ended[victim][0] == -9
        code, said = ended[1 - victim]
        assert code == 75
        assert said.splitlines()[-1].startswith("dsnjax: another process was lost")
        # Of a lost process 0 jax's own runtime speaks as well, before us.
        assert victim == 0 or said.count("\n") == 1
    assert [code for code, _ in start(tmp_path / "run", named())] == [0, 0]
    assert_same_figures(tmp_path / "run", trained)


@pytest.mark.multihost
@pytest.mark.fault
@pytest.mark.parametrize("index", [0, 1])
def test_a_process_whose_others_do_not_come_ends_when_the_time_is_up(start, tmp_path, index):
    alone = named()[index] | {"DSNJAX_START_TIMEOUT": "2"}
    ((code, said),) = start(tmp_path / "run", [alone])
    assert (code, said.count("\n")) == (75, 1)
    assert "start all" in said


# The runtime waits for the other processes, and does not come back to Python for long.
WAITING = """
import hashlib, sys
from dsnjax import main, processes
def initialize(*given, **named):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**26)
processes.jax.distributed.initialize = initialize
with main.terminable(), processes.joined():
    pass
"""


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_that_waits_for_the_others_at_once(ready, number):
    with ready(WAITING, **named()[0]) as running:
        running.send_signal(number)
        assert running.wait() == 75
        assert running.stderr.read() == (
            "dsnjax: stopped while waiting for the other processes; start all again\n"
        )


@pytest.mark.multihost
@pytest.mark.slow
@pytest.mark.fault
def test_a_port_that_is_taken_is_said_in_one_line(start, tmp_path):
    first, _ = named()
    address = first["JAX_COORDINATOR_ADDRESS"]
    port = int(address.rpartition(":")[2])
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True):
        ((code, said),) = start(tmp_path / "run", [first])
    assert (code, said.count("\n")) == (75, 1)
    assert f"cannot answer at {address}: " in said
    assert "give another port" in said


@pytest.mark.multihost
@pytest.mark.slow
@pytest.mark.parametrize(
    ("launched", "words", "wanted"),
    [
        (named, ("--seed 9", "--seed 9"), "{run} holds a run with seed=0, not 9;"),
        (slurm, ("", "--seed 9"), "process 1: {run} holds a run with seed=0, not 9;"),
        (named, ("", "--workdir {run}2"), "process 1: {run}2: not the folder that process 0 sees;"),
        (named, ("--data.batch-size 31",) * 2, "data.batch_size=31 does not divide over 2 devices"),
        (open_mpi, ("--init-from {run}/gone",) * 2, "{run}/gone: no model here"),
        (named, ("", "mistake"), "process 1: a mistake of one alone"),
    ],
)
def test_a_mistake_ends_both_processes_alike_and_is_said_once(
    start, trained, tmp_path, launched, words, wanted
):
    run = tmp_path / "run"
    if words == ("--seed 9", "--seed 9"):
        shutil.copytree(trained, run)
    faults = ["mistake open 1" if one == "mistake" else "none asked 0" for one in words]
    more = [one.format(run=run).removeprefix("mistake") for one in words]
    ended = start(run, launched(), faults, more)
    assert [code for code, _ in ended] == [2, 2]
    assert [said.count("\n") for _, said in ended] == [1, 0]
    assert ended[0][1].startswith("dsnjax: " + wanted.format(run=run))
    assert (run / "config.yaml").exists() == (run / "checkpoints").exists()
