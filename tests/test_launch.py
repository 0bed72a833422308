"""The launch specs of docs/launch: whole, and running a command that dsnjax knows."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dsnjax import flags, main, processes
from dsnjax.commands import Train

FOLDER = Path(__file__).parents[1] / "docs" / "launch"


def spec(name):
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def worker():
    job = spec("jobset.yaml")["spec"]["replicatedJobs"][0]["template"]["spec"]
    return job, job["template"]["spec"]["containers"][0]


def scripts():
    return {
        "slurm.sh": (FOLDER / "slurm.sh").read_text(encoding="utf-8"),
        "skypilot.yaml": spec("skypilot.yaml")["run"],
    }


def commands():
    """The words behind dsnjax in every spec."""
    found = {"jobset.yaml": worker()[1]["command"]}
    for name, text in scripts().items():
        (line,) = re.findall(r"(dsnjax train .*)$", text.replace("\\\n", " "), flags=re.M)
        found[name] = shlex.split(line)
    return found


@pytest.mark.parametrize("name", ["slurm.sh", "jobset.yaml", "skypilot.yaml"])
def test_a_spec_runs_a_command_that_dsnjax_knows(name):
    program, command, *words = commands()[name]
    assert (program, command) == ("dsnjax", "train")
    found = flags.parse(Train, words, main.base(words))
    assert found.data.batch_size % 16 == 0  # two machines with eight devices
    assert found.data.store is not None


@pytest.mark.parametrize("name", ["slurm.sh", "skypilot.yaml"])
def test_a_script_is_a_shell_s(name):
    if not shutil.which("bash"):
        pytest.skip("no bash on this machine")
    subprocess.run(["bash", "-n"], input=scripts()[name], text=True, check=True)


def test_a_pod_is_told_where_it_stands():
    job, container = worker()
    told = {one["name"]: one.get("value", "1") for one in container["env"]}
    cluster = processes.seen(told)
    assert cluster is not None
    assert cluster.count == job["completions"] == job["parallelism"]
    jobset = spec("jobset.yaml")
    name = jobset["metadata"]["name"]
    replicated = jobset["spec"]["replicatedJobs"][0]["name"]
    assert cluster.address == f"{name}-{replicated}-0-0.{name}:1234"


def test_what_another_try_cannot_mend_is_not_tried_again():
    (rule,) = worker()[0]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2, 3, 4]
    assert spec("skypilot.yaml")["resources"]["job_recovery"] == {"recover_on_exit_codes": [75]}


# What a script ends with where dsnjax did so, and whether SLURM is asked to start it again.
@pytest.mark.parametrize(
    ("code", "again"),
    [(0, False), (1, False), (2, False), (3, False), (4, False), (75, True), (137, True)],
)
def test_a_script_goes_on_after_a_stop_or_a_kill_and_leaves_mistakes_to_a_person(code, again):
    ended = run_scripts(code)
    assert ended["slurm.sh"].returncode == code
    assert ended["slurm.sh"].stdout == ("requeue 7\n" if again else "")
    assert ended["skypilot.yaml"].returncode == (75 if again else code)


def test_slurm_starts_no_job_for_ever():
    assert run_scripts(75, SLURM_RESTART_COUNT="99")["slurm.sh"].stdout == "requeue 7\n"
    assert run_scripts(75, SLURM_RESTART_COUNT="100")["slurm.sh"].stdout == ""


def test_slurm_kills_no_process_that_would_tell_what_ended_it():
    assert "srun --kill-on-bad-exit=0 " in scripts()["slurm.sh"]


def run_scripts(code, **environment):
    """How the scripts end where dsnjax ends with a code."""
    if not shutil.which("bash"):
        pytest.skip("no bash on this machine")
    fakes = (
        f'srun() {{ return {code}; }}; dsnjax() {{ return {code}; }}; scontrol() {{ echo "$@"; }}'
    )
    return {
        name: subprocess.run(
            ["bash", "-c", f"{fakes}\n{text}"],
            env=os.environ | {"SLURM_JOB_ID": "7"} | environment,
            capture_output=True,
            text=True,
        )
        for name, text in scripts().items()
    }
