"""A trained state and a split in, evaluation.json and the answer for every drawing out."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dsnjax import calibration, mesh, metrics, processes, tracking
from dsnjax import config as schema
from dsnjax.data import batches, files
from dsnjax.data.store import Store
from dsnjax.errors import UserError
from dsnjax.state import Network, TrainState
from dsnjax.stop import Stop
from dsnjax.workdir import Workdir

Step = Callable[..., tuple[dict[str, jax.Array], dict[str, jax.Array]]]
PREDICTIONS = "predictions.npz"


def make_eval_step(network: Network, devices: Mesh) -> Step:
    """The compiled step: params, statistics and a batch to what it adds, and what is said of each.

    See metrics.sums and metrics.answers; the answers hold the `logits` [b, k] as well.
    """

    def step(params, statistics, batch):
        output, _ = network.apply(params, statistics, batch, train=False)
        logits, label = output.logits, batch["label"]
        answers = metrics.answers(logits, label) | {"logits": logits}
        return metrics.sums(logits, label, batch["mask"]), answers

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
    step: Step,
    state: TrainState,
    data: Iterable[dict[str, jax.Array]],
    said: list[dict[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Sums over all batches; what was said of each batch's drawings is put into `said`.

    The logits only of as many as calibration wants: those of millions fill the memory.
    """
    added, weights = None, state.used
    for batch in data:
        sums, answers = step(*weights, batch)
        one = jax.device_get(sums)
        added = one if added is None else jax.tree.map(np.add, added, one)
        if said is not None:
            if len(said) * len(answers["rank"]) >= calibration.MOST:
                del answers["logits"]
            said.append(jax.device_get(answers))
    if added is None:
        raise ValueError("no batch to evaluate; want at least one")
    return added


def evaluate(
    workdir: Workdir, *, split: str = "test", step: Step | None = None, stop: Stop | None = None
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a work directory and writes `evaluation.json` there.

    Beside it, `predictions.npz` says what the network made of each drawing: see `keep`.

    Args:
        split: `train`, `valid` or `test`; each of its drawings counts exactly once.
        step: what make_eval_step gave for this run, where it is compiled already.
        stop: asked before each batch.

    Returns:
        what metrics.summary gives, and `step`, `split`, `noise_filter`, `protocol` and, of the
        test split, `calibration`.

    Raises:
        CheckpointError: nothing was trained there yet.
        UserError: the split is empty.
        Interrupted: stopped; nothing was written.
    """
    config, store, devices = workdir.config(), workdir.store(), mesh.make()
    network, state = workdir.restore()
    members = batches.rows(store, config.data)
    rows = members[split]
    if not len(rows):
        raise UserError(f"{store.path}: no drawing in the {split} split; see --data.split")
    step = step or make_eval_step(network, devices)
    data, count = held_out(store, rows, config.data, devices)
    if stop:
        data = stop.between(data, f"evaluating; what is trained lies in {workdir.path}")
    said: list[dict[str, np.ndarray]] = []
    with tracking.bar(f"evaluating {split}", count, quiet=not processes.first()) as bar:
        added = totals(step, state, bar.watched(data), said)
    figures = metrics.summary(added, store.categories)
    figures |= {"step": int(state.step), "split": split, "noise_filter": config.data.noise.filter}
    figures["protocol"] = config.data.protocol()
    if split == "test":
        valid, tuning = members["valid"][: calibration.MOST], []
        if len(valid):
            totals(step, state, held_out(store, valid, config.data, devices)[0], tuning)
        tested = labelled(store, rows[: calibration.MOST], said)
        figures["calibration"] = calibrate(labelled(store, valid, tuning), tested)
    if split == "test" and processes.first():
        keep(workdir.path / PREDICTIONS, store, rows, said)
        write(workdir.path / "evaluation.json", figures)
    return figures


def labelled(
    store: Store, rows: np.ndarray, said: Sequence[dict[str, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, k] and labels [n] of rows, of which what was said begins with the logits."""
    parts = [one["logits"] for one in said if "logits" in one]
    logits = np.concatenate(parts or [np.zeros((0, len(store.categories)))])[: len(rows)]
    return logits, store.label[rows].astype(int)


def calibrate(
    valid: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """The temperature fitted on the validation split, and what it does to the test split.

    Args:
        valid, test: logits [n, k] and labels [n].

    Returns:
        `temperature`, `fitted_on` (drawings), and `error_before` and `error`, the expected
        calibration error of test drawings without and with it.
    """
    fitted = calibration.temperature(*valid)
    errors = []
    for one in (1.0, fitted):
        chances = calibration.softmax(test[0] / one)
        hit = chances.argmax(axis=1) == test[1]
        errors.append(round(calibration.reliability(chances.max(axis=1), hit)[1], 4))
    return {
        "temperature": fitted,
        "fitted_on": len(valid[1]),
        "error_before": errors[0],
        "error": errors[1],
    }


def write(path: Path, figures: dict[str, Any]) -> None:
    """Figures as JSON, complete or not at all."""
    with files.whole(path) as file:
        file.write((json.dumps(figures, indent=1) + "\n").encode())


def keep(path: Path, store: Store, rows: np.ndarray, said: Sequence[dict[str, np.ndarray]]) -> None:
    """Writes what was said of each drawing, about 25 bytes each, complete or not at all.

    Arrays, one row a drawing: `row` of the store, `hash` there (the same drawing in another store
    has the same), `label`, and `rank`, `top`, `probability` and `own` of metrics.answers.
    """
    columns = {
        name: np.concatenate([one[name] for one in said])[: len(rows)].astype(kind)
        for name, kind in (("rank", "u2"), ("top", "u2"), ("probability", "f4"), ("own", "f4"))
    }
    about = {"row": rows, "hash": store.hash[rows], "label": store.label[rows]}
    with files.whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **about, **columns)
