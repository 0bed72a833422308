import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dsnjax.workdir import Workdir

# Ray starts its processes three times here, jax in each of them.
pytestmark = [pytest.mark.multihost, pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[1]

# dsnjax, but the second worker that Ray starts hangs once, before there is a checkpoint, and is
# killed once, at its sixth step.
FAULTY = """
import os, signal, sys, time
from pathlib import Path
from dsnjax import main, ray_train
real = ray_train.work
def work(about):
    from ray.train import get_context
    from dsnjax import stop
    hung, killed = (Path(about["folder"], about["workdir"], name) for name in ("hung", "killed"))
    if get_context().get_world_rank() == 1 and not killed.exists():
        asked, calls = stop.Stop.asked, iter(range(1, 1000))
        def faulty(self):
            call = next(calls)
            if call == 3 and not hung.exists():
                hung.touch()
                time.sleep(10_000)
            if call == 6:
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return asked(self)
        stop.Stop.asked = faulty
    return real(about)
ray_train.work = work
if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def on_two_workers(trained, tmp_path_factory):
    """Begins code on the run of `trained` anew, with Ray's two workers."""
    pytest.importorskip("ray", reason="Ray is an extra")
    home = tmp_path_factory.mktemp("ray")
    values = Workdir(trained).config().model_dump(mode="json")
    (home / "mine.yaml").write_text(yaml.safe_dump(values))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "disabled",  # or it writes a token to the home folder
    }
    environment.pop("RAY_ADDRESS", None)

    def begin(start, *words):
        command = [*start, "train", "--config", "mine.yaml", "--workdir", "run"]
        return subprocess.Popen(
            [sys.executable, *command, "--engine", "ray", "--workers", "2", *words],
            cwd=home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return home / "run", begin


def test_ray_starts_workers_again_that_were_lost_and_they_end_as_one_process_does(
    on_two_workers, trained
):
    """After SIGTERM, which is told in one line, the same command goes on to that end."""
    workdir, begin = on_two_workers
    first = begin(["-c", FAULTY])
    while first.poll() is None and not (workdir / "hung").exists():
        time.sleep(0.1)
    first.terminate()  # which is answered as Ctrl-C is
    _, said = first.communicate()
    assert first.returncode == 75, said
    assert said.splitlines()[-1].startswith("dsnjax: stopped; the same command goes on from")
    ended = begin(["-c", FAULTY])
    out, err = ended.communicate()
    assert ended.returncode == 0, err
    assert (workdir / "killed").exists()
    found, wanted = (
        json.loads((folder / "evaluation.json").read_text()) for folder in (workdir, trained)
    )
    assert out.splitlines()[-1].startswith(f"test: MAP@3 {found['map3']:.4f}")
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert found["drawings"] == wanted["drawings"]


def test_a_mistake_that_all_workers_meet_is_one_line_and_no_reason_to_start_again(on_two_workers):
    _, begin = on_two_workers
    ended = begin(["-m", "dsnjax.main"], "--seed", "9")
    _, err = ended.communicate()
    assert ended.returncode == 2
    assert err.splitlines()[-1].startswith("dsnjax: run holds a run with seed=0, not 9;")
