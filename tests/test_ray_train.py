import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dsnjax.workdir import Workdir

# Ray starts its processes three times here, jax in each of them.
pytestmark = [pytest.mark.multihost, pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[1]

# dsnjax, but the second worker that Ray starts is killed once, at its sixth step.
KILLED_ONCE = """
import os, signal, sys
from pathlib import Path
from dsnjax import main, ray_train
real = ray_train.work
def work(about):
    from ray.train import get_context
    from dsnjax import stop
    once = Path(about["folder"]) / about["workdir"] / "killed"
    if get_context().get_world_rank() == 1 and not once.exists():
        asked, calls = stop.Stop.asked, iter(range(1, 1000))
        def deadly(self):
            if next(calls) == 6:
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return asked(self)
        stop.Stop.asked = deadly
    return real(about)
ray_train.work = work
if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def on_two_workers(trained, tmp_path_factory):
    """Runs code on the run of `trained` anew, with Ray's two workers; gives what it said."""
    pytest.importorskip("ray", reason="Ray is an extra")
    home = tmp_path_factory.mktemp("ray")
    values = Workdir(trained).config().model_dump(mode="json")
    (home / "mine.yaml").write_text(yaml.safe_dump(values))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "disabled",  # or it writes a token to the home folder
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    environment.pop("RAY_ADDRESS", None)

    def run(start, *words):
        command = [*start, "train", "--config", "mine.yaml", "--workdir", "run"]
        return subprocess.run(
            [sys.executable, *command, "--engine", "ray", "--workers", "2", *words],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
        )

    return home / "run", run


def test_ray_starts_workers_again_that_were_lost_and_they_end_as_one_process_does(
    on_two_workers, trained
):
    workdir, run = on_two_workers
    ended = run(["-c", KILLED_ONCE])
    assert ended.returncode == 0, ended.stderr
    assert (workdir / "killed").exists()
    found, wanted = (
        json.loads((folder / "evaluation.json").read_text()) for folder in (workdir, trained)
    )
    assert ended.stdout.splitlines()[-1].startswith(f"test: MAP@3 {found['map3']:.4f}")
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert found["drawings"] == wanted["drawings"]


def test_a_mistake_that_all_workers_meet_is_one_line_and_no_reason_to_start_again(on_two_workers):
    _, run = on_two_workers
    ended = run(["-m", "dsnjax.main"], "--seed", "9")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("dsnjax: run holds a run with seed=0, not 9;")
