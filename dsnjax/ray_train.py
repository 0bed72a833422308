"""A config and a number of workers in, the same run by processes of a Ray cluster out (an extra).

Ray Train places the workers, joins them by jax.distributed and starts all of them again where one
is lost; they go on from the last checkpoint.
"""

import os
from pathlib import Path
from typing import Any

import jax

from dsnjax import config as schema
from dsnjax import measured, settings
from dsnjax import train as loop
from dsnjax.data import engines
from dsnjax.errors import KINDS, Interrupted, Trouble, UserError, one_line
from dsnjax.workdir import Workdir

RESTARTS = 20  # of all workers, before it is left to a person


def train(config: schema.Config, workdir: Workdir, workers: int) -> dict[str, Any]:
    """Trains as `dsnjax.train.train` does, on the cluster of RAY_ADDRESS or on this machine.

    Store and work directory must lie at the same paths on all machines. A worker is given all GPUs
    of a machine, or one processor where the cluster has no GPU.

    Raises:
        UserError: Ray is not installed; and all that `dsnjax.train.train` raises.
        Interrupted: the workers were lost too often, or it was stopped.
    """
    ray = engines.cluster()
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.v2.jax import JaxConfig, JaxTrainer

    there = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
    gpus = min(filter(None, there), default=0)
    trainer = JaxTrainer(
        work,
        train_loop_config={
            "folder": os.getcwd(),
            "values": config.model_dump(mode="json"),
            "workdir": str(workdir.path),
        },
        # Ray joins no workers on processors unless it is told that they have GPUs.
        jax_config=JaxConfig(use_gpu=True),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpus > 0,
            resources_per_worker={"GPU": gpus} if gpus else {"CPU": 1},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(workdir.path.absolute()),
            failure_config=FailureConfig(max_failures=RESTARTS),
            worker_runtime_env={} if gpus else {"env_vars": {"JAX_PLATFORMS": "cpu"}},
        ),
    )
    try:
        told = trainer.fit().return_value or {}
    except (TrainingFailedError, ray.exceptions.RayActorError) as error:
        what = one_line(error)[-200:]
        raise Interrupted(f"Ray's workers were lost: {what}; the same command goes on") from error
    except SystemExit as stopped:  # what Ray Train's answer to Ctrl-C, and SIGTERM, ends in
        text = "stopped; the same command goes on from the last checkpoint"
        raise Interrupted(text) from stopped
    if "kind" in told:
        raise KINDS[told["kind"]](told["text"])
    return measured.figures(workdir.path)


def work(about: dict[str, Any]) -> dict[str, str]:
    """What every worker does; gives a trouble that all of them met, which is no reason to restart.

    Args:
        about: the folder that paths are relative to, the values of the config, the work directory.
    """
    from ray.train import get_context

    os.chdir(about["folder"])  # Ray sets another one
    wanted = get_context().get_world_size()
    try:
        if jax.process_count() != wanted:
            raise UserError(
                f"Ray joined {jax.process_count()} of {wanted} workers; "
                "want JAX_PLATFORMS to be cpu, cuda or nothing"
            )
        config = settings.check(schema.Config, about["values"])
        loop.train(config, Workdir(Path(about["workdir"])))
    except Trouble as trouble:
        if jax.process_count() > 1 and not trouble.shared:
            raise  # the others wait for this one; Ray ends them
        return {"kind": type(trouble).__name__, "text": str(trouble)}
    return {}
