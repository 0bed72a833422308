"""A config and a work directory in, a trained and evaluated network out."""

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dsnjax import config as schema
from dsnjax import evaluate, losses, mesh, optim, pictures, state, tracking
from dsnjax.checkpoint import Checkpoints
from dsnjax.data import batches
from dsnjax.data.store import Store
from dsnjax.errors import DataError, Interrupted, UserError
from dsnjax.metrics import summary
from dsnjax.state import Arrays, Network, TrainState
from dsnjax.workdir import Workdir, abstract

SHOWN = 70  # drawings in drawings.png


def make_train_step(
    network: Network, tx: optax.GradientTransformation, loss: schema.Loss
) -> Callable[[TrainState, dict], tuple[TrainState, dict[str, jax.Array]]]:
    """The pure step: a state and a batch to the next state and the step's figures."""

    def step(now: TrainState, batch: dict) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(now.key, now.step)
        label, mask = batch["label"], batch["mask"]

        def objective(params):
            output, statistics = network.apply(params, now.statistics, batch, train=True, key=key)
            value, parts = losses.total(loss, output, now.centers, label, mask)
            return value, (output, statistics, parts)

        slope = jax.value_and_grad(objective, has_aux=True)
        (value, (output, statistics, parts)), gradient = slope(now.params)
        updates, opt_state = tx.update(gradient, now.opt_state, now.params)
        centers = losses.move_centers(
            now.centers, output.feature, label, mask, loss.center_momentum
        )
        following = TrainState(
            step=now.step + 1,
            params=optax.apply_updates(now.params, updates),  # type: ignore[arg-type]
            statistics=statistics,
            opt_state=opt_state,
            centers=centers,
            key=now.key,
        )
        hits = jnp.sum((jnp.argmax(output.logits, axis=-1) == label) * mask)
        figures = {"loss": value, **parts, "gradient": optax.tree.norm(gradient)}
        return following, figures | {"accuracy": hits / jnp.maximum(jnp.sum(mask), 1)}

    return step


@dataclass(frozen=True)
class Plan:
    """When a run ends and its epochs end, in steps."""

    drawings: int
    batch_size: int
    epochs: int

    @property
    def steps(self) -> int:
        return math.ceil(self.drawings * self.epochs / self.batch_size)

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""
        return round(step * self.batch_size / self.drawings, 4)

    def ends_epoch(self, step: int) -> bool:
        """Whether the step that leads to `step` finished an epoch, or the run."""
        return (
            step == self.steps
            or step * self.batch_size // self.drawings
            > (step - 1) * self.batch_size // self.drawings
        )


def train(config: schema.Config, workdir: Workdir) -> dict[str, Any]:
    """Trains until the plan is done, going on from the newest checkpoint, then evaluates.

    Returns:
        the figures of evaluation.json; where the run was finished before, those written then.

    Raises:
        UserError: the work directory is in use or holds another run, or a split is empty.
        DataError: the store is damaged, or the loss is no longer finite.
        Interrupted: stopped by a signal, or the disk is full; the same call goes on.
    """
    with workdir.claim(config):
        finished = workdir.path / "evaluation.json"
        if finished.is_file():
            return json.loads(finished.read_text(encoding="utf-8"))
        store = workdir.store()
        training = Training(config, workdir, store)
        show(workdir, store, training.rows["test"], config.data)
        training.run()
        return evaluate.evaluate(workdir)


class Clock:
    """Drawings a second since the last look."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._step, self._time = None, time.perf_counter()

    def since(self, step: int) -> dict[str, float]:
        """The rate up to `step`; the first look has none, since its time holds the compilation."""
        (before, then), now = (self._step, self._time), time.perf_counter()
        self._step, self._time = step, now
        if before is None:
            return {}
        return {"drawings_per_second": round((step - before) * self._batch_size / (now - then), 1)}


@dataclass(frozen=True)
class Told:
    """Where a run tells of itself."""

    saved: Checkpoints
    metrics: tracking.Metrics
    bar: tracking.Bar
    clock: Clock


class Training:
    """The loop: steps, lines of metrics, checkpoints, validation at the end of each epoch."""

    def __init__(self, config: schema.Config, workdir: Workdir, store: Store):
        self.config, self.workdir, self.store = config, workdir, store
        self.rows = batches.rows(store, config.data)
        for split in ("train", "test"):
            if not len(self.rows[split]):
                raise UserError(f"{store.path}: the {split} split is empty; prepare more drawings")
        self.plan = Plan(len(self.rows["train"]), config.data.batch_size, config.run.epochs)
        self.devices = mesh.make(config.mesh)
        self.own = mesh.own_rows(config.data.batch_size, self.devices)
        network = state.network(config.model, config.data, len(store.categories))
        tx = optim.make(config.optim, self.plan.steps)
        self.shapes = abstract(network, config, self.plan.steps, self.devices)
        lies = jax.tree.map(lambda leaf: leaf.sharding, self.shapes)
        self.born = jax.jit(lambda: state.initial(network, tx, config.seed), out_shardings=lies)
        self.step = jax.jit(
            make_train_step(network, tx, config.loss),
            out_shardings=(lies, mesh.replicated(self.devices)),
            donate_argnums=0,
        )
        self.look = evaluate.make_eval_step(network, self.devices)

    def run(self) -> None:
        """Steps from the newest checkpoint to the end of the plan."""
        config, plan, path = self.config, self.plan, self.workdir.path
        with self.workdir.checkpoints() as saved:
            now = saved.newest(self.shapes) or self.born()
            start = int(now.step)
            data = batches.training(
                self.store, self.rows["train"], config.data, config.seed, start, own=self.own
            )
            metrics = tracking.Metrics(path / "metrics.jsonl", start)
            bar = tracking.bar("training", plan.steps, start)
            with closing(data), closing(metrics), bar as bar, signals() as stopped:
                told = Told(saved, metrics, bar, Clock(config.data.batch_size))
                bar.note("compiling")
                for done in range(start + 1, plan.steps + 1):
                    now, figures = self.step(now, mesh.spread(next(data), self.devices))
                    stop = stopped() and done < plan.steps
                    self.tell(now, figures, done, stop, told)
                    if stop:
                        raise Interrupted(
                            f"stopped at step {done} of {plan.steps}, saved in {path}; "
                            "the same command goes on from there"
                        )

    def tell(self, now: TrainState, figures: Arrays, done: int, stop: bool, told: Told) -> None:
        """What is due after a step, before the next batch: a line, a validation, a checkpoint."""
        ends = self.plan.ends_epoch(done)
        saves = ends or stop or done % self.config.run.checkpoint_every == 0
        if saves or done % self.config.run.log_every == 0:
            line = finite(figures, done) | told.clock.since(done)
            told.metrics.write(done, epoch=self.plan.epoch(done), **line)
            rate = line.get("drawings_per_second")
            told.bar.note(f"loss {line['loss']:.3f}" + (f"  {rate:,.0f}/s" if rate else ""))
        if ends and len(self.rows["valid"]):
            self.validate(now, done, told)
        elif saves:
            told.saved.save(now)
        told.saved.check()
        told.bar.advance()

    def validate(self, now: TrainState, done: int, told: Told) -> None:
        """Measures the state on the validation split and saves it with its MAP@3."""
        rows, data = self.rows["valid"], self.config.data
        held_out, count = evaluate.held_out(self.store, rows, data, self.devices)
        watched = told.bar.beside(held_out, "validating", count)
        figures = summary(evaluate.totals(self.look, now, watched), self.store.categories)
        kept = {f"valid_{name}": figures[name] for name in ("map3", "accuracy", "loss")}
        told.metrics.write(done, epoch=self.plan.epoch(done), **kept)
        told.bar.say(
            f"epoch {self.plan.epoch(done):.0f}: valid MAP@3 {figures['map3']:.4f}, "
            f"accuracy {figures['accuracy']:.4f}"
        )
        told.saved.save(now, figures["map3"])


def show(workdir: Workdir, store: Store, rows: np.ndarray, data: schema.Data) -> None:
    """Writes some drawings: drawings.png as the network is shown them, drawings.ndjson as rows."""
    rows = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    batch = batches.draw(store, rows, data)
    names = [store.categories[label] for label in batch["label"]]
    pictures.sheet(batch["image"][..., 0], names, workdir.path / "drawings.png")
    with (workdir.path / "drawings.ndjson").open("w", encoding="utf-8") as file:
        for row, name, drawing in zip(rows, names, store.take(rows).unpack(), strict=True):
            key_id = int(store.key_id[row])
            about = {"word": name} | ({"key_id": str(key_id)} if key_id else {})
            file.write(json.dumps(about | {"drawing": drawing}) + "\n")


def finite(figures: dict[str, jax.Array], step: int) -> dict[str, float]:
    """Figures on the host. Raises DataError when the loss is none any more."""
    values = {name: float(value) for name, value in figures.items()}
    if not math.isfinite(values["loss"]):
        raise DataError(
            f"step {step}: the loss is {values['loss']}; the checkpoints before it are kept; "
            "start again with a lower --optim.learning-rate"
        )
    return values


@contextmanager
def signals() -> Iterator[Callable[[], bool]]:
    """Says whether SIGTERM or Ctrl-C came; a second one ends the process at once."""
    seen = []

    def note(number: int, frame: Any) -> None:
        if seen:
            os._exit(Interrupted.exit_code)
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
