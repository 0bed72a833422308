"""Figures of a step in; lines of metrics.jsonl out, and what TensorBoard and wandb show."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dsnjax import config as schema
from dsnjax import files, tracking
from dsnjax.errors import UserError, extra, one_line


class Writer(Protocol):
    """Takes figures as a run goes on."""

    def write(self, step: int, **values: Any) -> None:
        """Takes the figures of a step, numbers by name."""

    def close(self) -> None:
        """Writes what is left to write."""


class TensorBoard:
    """Event files in `tensorboard/` of a work directory; `tensorboard --logdir` shows them."""

    def __init__(self, workdir: Path, step: int):
        """Opens them at `step`; what a killed run wrote beyond it is no longer shown."""
        with extra("tensorboard", "run.track=tensorboard"):
            from tensorboardX import SummaryWriter
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **values: Any) -> None:
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        self._events.close()


class Wandb:
    """A run of the project `dsnjax` at wandb, or with WANDB_MODE=offline in `wandb/` alone."""

    def __init__(self, workdir: Path, config: schema.Config):
        with extra("wandb", "run.track=wandb"):
            import wandb
        file = workdir / "wandb.id"  # by which a run that goes on is the same one there
        if not file.exists():
            files.write(file, uuid.uuid4().hex[:8])
        try:
            self._run = wandb.init(
                project="dsnjax",
                name=workdir.name,
                dir=workdir,
                id=file.read_text(encoding="utf-8"),
                resume="allow",
                config=config.model_dump(mode="json"),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            what = one_line(error)
            raise UserError(
                f"run.track: wandb: {what}; log in with `wandb login`, or set WANDB_MODE=offline"
            ) from error
        # By a figure of our own: wandb drops lines whose own step it has seen, as a run that goes
        # on from an earlier checkpoint has.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, **values: Any) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


class Several:
    """Writes to several writers alike."""

    def __init__(self, writers: Sequence[Writer]):
        self._writers = writers

    def write(self, step: int, **values: Any) -> None:
        for writer in self._writers:
            writer.write(step, **values)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def open_all(workdir: Path, config: schema.Config, step: int, *, quiet: bool) -> Writer:
    """metrics.jsonl of a work directory, and what `run.track` names, from `step` on.

    Args:
        quiet: nothing at all; another process of the run writes.

    Raises:
        UserError: an extra is not installed, or wandb knows no account.
    """
    kinds = {
        "tensorboard": lambda: TensorBoard(workdir, step),
        "wandb": lambda: Wandb(workdir, config),
    }
    if quiet:
        return Several([])
    asked = [kinds[name]() for name in config.run.track]
    return Several([tracking.Metrics(workdir / "metrics.jsonl", step), *asked])
