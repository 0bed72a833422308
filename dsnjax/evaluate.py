"""A trained state and a split in, the figures of evaluation.json out."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dsnjax import config as schema
from dsnjax import mesh, metrics, processes, tracking
from dsnjax.data import batches
from dsnjax.data.store import Store
from dsnjax.errors import UserError
from dsnjax.state import Network, TrainState
from dsnjax.stop import Stop
from dsnjax.workdir import Workdir


def make_eval_step(network: Network, devices: Mesh) -> Callable[..., dict[str, jax.Array]]:
    """The compiled step: params, statistics and a batch to the batch's sums. See metrics.sums."""

    def step(params, statistics, batch):
        output, _ = network.apply(params, statistics, batch, train=False)
        return metrics.sums(output.logits, batch["label"], batch["mask"])

    return jax.jit(step, out_shardings=mesh.replicated(devices))


def held_out(
    store: Store, rows: np.ndarray, data: schema.Data, devices: Mesh
) -> tuple[Iterator[dict[str, jax.Array]], int]:
    """Batches on all devices in which every row comes once, and how many there are."""
    # A run may be evaluated on more devices than it was trained on.
    size = math.ceil(data.batch_size / devices.size) * devices.size
    data = data.model_copy(update={"batch_size": size})
    own = mesh.own_rows(size, devices)
    spread = (mesh.spread(batch, devices) for batch in batches.once(store, rows, data, own=own))
    return spread, math.ceil(len(rows) / size)


def totals(
    step: Callable[..., dict[str, jax.Array]],
    state: TrainState,
    data: Iterable[dict[str, jax.Array]],
) -> dict[str, np.ndarray]:
    """Sums over all batches."""
    added, weights = None, state.used
    for batch in data:
        one = jax.device_get(step(*weights, batch))
        added = one if added is None else jax.tree.map(np.add, added, one)
    if added is None:
        raise ValueError("no batch to evaluate; want at least one")
    return added


def evaluate(workdir: Workdir, *, split: str = "test", stop: Stop | None = None) -> dict[str, Any]:
    """Evaluates the best checkpoint of a work directory and writes `evaluation.json` there.

    Args:
        split: `train`, `valid` or `test`; each of its drawings counts exactly once.
        stop: asked before each batch.

    Returns:
        what metrics.summary gives, and `step`, `split`, `noise_filter` and `protocol`.

    Raises:
        CheckpointError: nothing was trained there yet.
        UserError: the split is empty.
        Interrupted: stopped; nothing was written.
    """
    config, store, devices = workdir.config(), workdir.store(), mesh.make()
    network, state = workdir.restore()
    rows = batches.rows(store, config.data)[split]
    if not len(rows):
        raise UserError(f"{store.path}: no drawing in the {split} split; see --data.split")
    step = make_eval_step(network, devices)
    data, count = held_out(store, rows, config.data, devices)
    if stop:
        data = stop.between(data, f"evaluating; what is trained lies in {workdir.path}")
    with tracking.bar(f"evaluating {split}", count, quiet=not processes.first()) as bar:
        figures = metrics.summary(totals(step, state, bar.watched(data)), store.categories)
    figures |= {"step": int(state.step), "split": split, "noise_filter": config.data.noise.filter}
    figures["protocol"] = config.data.protocol()
    if split == "test" and processes.first():
        write(workdir.path / "evaluation.json", figures)
    return figures


def write(path: Path, figures: dict[str, Any]) -> None:
    """Figures as JSON, complete or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
