"""A trained state and a split in, the figures of evaluation.json out."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dsnjax import mesh, metrics, tracking
from dsnjax.data import batches
from dsnjax.errors import UserError
from dsnjax.state import Network, TrainState
from dsnjax.workdir import Workdir


def make_eval_step(network: Network) -> Callable[..., dict[str, jax.Array]]:
    """The pure step: params, statistics and a batch to the batch's sums. See metrics.sums."""

    def step(params, statistics, batch):
        output, _ = network.apply(params, statistics, batch, train=False)
        return metrics.sums(output.logits, batch["label"], batch["mask"])

    devices = mesh.make()
    whole, rows = mesh.replicated(devices), mesh.by_batch(devices)
    return jax.jit(step, in_shardings=(whole, whole, rows), out_shardings=whole)


def totals(
    step: Callable[..., dict[str, jax.Array]], state: TrainState, data: Iterable[batches.Batch]
) -> dict[str, np.ndarray]:
    """Sums over all batches."""
    added = None
    for batch in data:
        one = jax.device_get(step(state.params, state.statistics, batch))
        added = one if added is None else jax.tree.map(np.add, added, one)
    if added is None:
        raise ValueError("no batch to evaluate; want at least one")
    return added


def evaluate(workdir: Workdir, *, split: str = "test") -> dict[str, Any]:
    """Evaluates the best checkpoint of a work directory and writes `evaluation.json` there.

    Args:
        split: `train`, `valid` or `test`; each of its drawings counts exactly once.

    Returns:
        what metrics.summary gives, and `step`, `split` and `noise_filter`.

    Raises:
        CheckpointError: nothing was trained there yet.
        UserError: the split is empty.
    """
    config, store = workdir.config(), workdir.store()
    network, state = workdir.restore()
    rows = batches.rows(store, config.data)[split]
    if not len(rows):
        raise UserError(f"{store.path}: no drawing in the {split} split; see --data.split")
    step, count = make_eval_step(network), math.ceil(len(rows) / config.data.batch_size)
    with tracking.bar(f"evaluating {split}", count) as bar:
        data = bar.watched(batches.once(store, rows, config.data))
        figures = metrics.summary(totals(step, state, data), store.categories)
    figures |= {"step": int(state.step), "split": split, "noise_filter": config.data.noise.filter}
    if split == "test":
        write(workdir.path / "evaluation.json", figures)
    return figures


def write(path: Path, figures: dict[str, Any]) -> None:
    """Figures as JSON, complete or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
