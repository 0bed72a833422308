"""A trained state and a split in, evaluation.json and the answer for every drawing out."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dsnjax import calibration, files, measured, mesh, metrics, processes, tracking
from dsnjax import config as schema
from dsnjax.data import augment, batches
from dsnjax.data.store import Store
from dsnjax.errors import UserError
from dsnjax.plan import Plan
from dsnjax.state import Network, TrainState
from dsnjax.stop import Stop
from dsnjax.workdir import Workdir

Step = Callable[..., tuple[dict[str, jax.Array], dict[str, jax.Array]]]


def make_eval_step(network: Network, devices: Mesh) -> Step:
    """The compiled step: params, statistics, a batch and a temperature to what the batch adds, and
    what is said of each drawing.

    See metrics.sums and metrics.answers; the answers hold the `logits` [b, k] as well.
    """

    def step(params, statistics, batch, temperature):
        output, _ = network.apply(params, statistics, batch, train=False)
        logits, label = output.logits, batch["label"]
        return _figures(logits, label, batch["mask"], temperature)

    return jax.jit(step, out_shardings=mesh.replicated(devices))


def averaged(step: Step, devices: Mesh) -> Step:
    """The step for tuples of batches that show the same drawings in other ways: of what
    make_eval_step's `step` says of each, the mean of the logits counts."""
    figures = jax.jit(_figures, out_shardings=mesh.replicated(devices))

    def of_all(params, statistics, views, temperature):
        said = [step(params, statistics, batch, temperature)[1]["logits"] for batch in views]
        label, mask = views[0]["label"], views[0]["mask"]
        return figures(sum(said) / len(said), label, mask, temperature)

    return of_all


def _figures(logits, label, mask, temperature):
    answers = metrics.answers(logits, label, temperature) | {"logits": logits}
    return metrics.sums(logits, label, mask), answers


def held_out(
    store: Store,
    rows: np.ndarray,
    data: schema.Data,
    devices: Mesh,
    view: augment.View = augment.AS_IS,
) -> tuple[Iterator[dict[str, jax.Array]], int]:
    """Batches on all devices in which every row comes once, and how many there are."""
    # A run may be evaluated on more devices than it was trained on.
    size = math.ceil(data.batch_size / devices.size) * devices.size
    data = data.model_copy(update={"batch_size": size})
    own = mesh.own_rows(size, devices)
    once = batches.once(store, rows, data, own=own, view=view)
    return (mesh.spread(batch, devices) for batch in once), math.ceil(len(rows) / size)


def totals(
    step: Step,
    state: TrainState,
    data: Iterable[Any],
    said: list[dict[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Sums over all batches; each one's answers but for the logits are put into `said`."""
    added, weights = None, state.used
    for batch in data:
        sums, answers = step(*weights, batch)
        one = jax.device_get(sums)
        added = one if added is None else jax.tree.map(np.add, added, one)
        if said is not None:
            del answers["logits"]  # many, and not kept
            said.append(jax.device_get(answers))
    if added is None:
        raise ValueError("no batch to evaluate; want at least one")
    return added


def evaluate(
    workdir: Workdir,
    *,
    split: str = "test",
    tta: bool = False,
    step: Step | None = None,
    devices: Mesh | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a work directory and writes `evaluation.json` there.

    Beside it, `predictions.npz` says what the network made of each drawing: see `keep`.

    Args:
        split: `train`, `valid` or `test`; each of its drawings counts exactly once.
        tta: test-time augmentation: each is named by the mean logits of all its augment.views.
            Nothing is written then: what is kept is of the network alone.
        step: what make_eval_step gave for this run, where it is compiled already.
        devices: how the state lies; by default as in training, where `mesh.fsdp` divides them.
        stop: asked before each batch.

    Returns:
        what metrics.summary gives, and `step`, `steps_left` (of the plan, 0 for a finished run),
        `trained_on` (drawings), `split`, `noise_filter`, `protocol` and, of the test split,
        `calibration`; with `tta`, `views` (of each drawing) instead.

    Raises:
        CheckpointError: nothing was trained there yet.
        UserError: the split is empty; see augment.views.
        Interrupted: stopped; nothing was written.
    """
    config, store = processes.alike(lambda: (workdir.config(), workdir.store()))
    devices = devices or mesh.fitting(config.mesh)
    there = workdir.checkpoints().steps()  # before a run beside us saves more
    network, state = processes.alike(lambda: workdir.restore(devices))
    members = processes.alike(lambda: batches.rows(store, config.data))
    rows = members[split]
    if not len(rows):
        raise processes.agreed(
            UserError(f"{store.path}: no drawing in the {split} split; see --data.split")
        )
    step = step or make_eval_step(network, devices)
    stop = stop or Stop()
    where = f"evaluating; what is trained lies in {workdir.path}"
    fitted, valid = 1.0, batches.few(members["valid"], calibration.MOST)
    kept = split == "test" and not tta
    if kept and len(valid):
        drawings = stop.between(held_out(store, valid, config.data, devices)[0], where)
        fitted = temperature(step, state, drawings, store.label[valid])
    data, count = held_out(store, rows, config.data, devices)
    views = processes.alike(lambda: augment.views(config.data.augment)) if tta else []
    if views:
        each = (held_out(store, rows, config.data, devices, view)[0] for view in views)
        data = zip(*each, strict=True)
        step = averaged(step, devices)
    said: list[dict[str, np.ndarray]] = []
    with tracking.bar(f"evaluating {split}", count, quiet=not processes.first()) as bar:
        drawings = bar.watched(stop.between(data, where))
        added = totals(partial(step, temperature=fitted), state, drawings, said)
    plan = Plan(len(members["train"]), config.data.batch_size, config.run.epochs)
    figures = metrics.summary(added, store.categories) | {
        "step": int(state.step),
        "steps_left": plan.steps - max([*there, int(state.step)]),
        "trained_on": plan.drawings,
        "split": split,
        "noise_filter": config.data.noise.filter,
        "protocol": config.data.protocol(),
    }
    if views:
        figures["views"] = len(views)
    if kept:
        answers = joined(said, len(rows))
        figures["calibration"] = calibrate(fitted, len(valid), answers)
        if processes.first():
            keep(workdir.path / measured.PREDICTIONS, store, rows, answers)
            files.write(workdir.path / measured.FILE, json.dumps(figures, indent=1) + "\n")
    return figures


def temperature(
    step: Step, state: TrainState, data: Iterable[dict[str, jax.Array]], label: np.ndarray
) -> float:
    """What calibrates the logits of batches whose drawings, in this order, are of `label` [n]."""
    said = (step(*state.used, batch, temperature=1.0)[1]["logits"] for batch in data)
    logits = np.concatenate([jax.device_get(one) for one in said])
    return calibration.temperature(logits[: len(label)], label.astype(int))


def joined(said: Sequence[dict[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
    """What was said of each of `count` drawings, without the padding of the last batch."""
    return {name: np.concatenate([one[name] for one in said])[:count] for name in said[0]}


def calibrate(fitted: float, valid: int, said: dict[str, np.ndarray]) -> dict[str, float]:
    """The temperature fitted on the validation split, and what it does to the test split.

    Args:
        valid: drawings it was fitted on.
        said: see metrics.answers.

    Returns:
        `temperature`, `fitted_on` (drawings), and `error_before` and `error`, the expected
        calibration error of test drawings without and with it.
    """
    hit = said["rank"] == 0
    before, after = (
        round(calibration.reliability(probability, hit)[1], 4)
        for probability in (said["untempered"], said["probability"][:, 0])
    )
    return {
        "temperature": fitted,
        "fitted_on": valid,
        "error_before": before,
        "error": after,
    }


def keep(path: Path, store: Store, rows: np.ndarray, said: dict[str, np.ndarray]) -> None:
    """Writes what was said of each drawing, about 25 bytes each, complete or not at all.

    Arrays, one row a drawing: `row` of the store, `hash` there (the same drawing in another store
    has the same), `label`, and `rank`, `top`, `probability` and `own` of metrics.answers at the
    fitted temperature, as `predict` says them.
    """
    columns = {
        name: said[name].astype(kind)
        for name, kind in (("rank", "u2"), ("top", "u2"), ("probability", "f4"), ("own", "f4"))
    }
    about = {"row": rows, "hash": store.hash[rows], "label": store.label[rows]}
    with files.whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **about, **columns)
