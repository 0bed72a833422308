"""A config and a work directory in, a trained and evaluated network out."""

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dsnjax import config as schema
from dsnjax import evaluate, losses, mesh, optim, pictures, processes, replay, state, stop, tracking
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
    with stop.watched() as asked, workdir.claim(config):
        finished = workdir.path / "evaluation.json"
        if processes.together(finished.is_file):
            return json.loads(finished.read_text(encoding="utf-8"))
        store = workdir.store()
        training = Training(config, workdir, store, asked)
        if processes.first():
            show(workdir, store, training.rows["test"], config.data)
        training.run()
        return evaluate.evaluate(workdir, stop=asked)


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

    def __init__(self, config: schema.Config, workdir: Workdir, store: Store, asked: stop.Stop):
        self.config, self.workdir, self.store, self.asked = config, workdir, store, asked
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
        self.watch = replay.Watch()
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
            others = not processes.first()
            metrics = tracking.Metrics(path / "metrics.jsonl", start, quiet=others)
            bar = tracking.bar("training", plan.steps, start, quiet=others)
            with closing(data), closing(metrics), bar as bar:
                told = Told(saved, metrics, bar, Clock(config.data.batch_size))
                if start and plan.ends_epoch(start) and not saved.measured(start):
                    self.validate(now, start, told)  # was stopped in the midst of it
                bar.note("compiling")
                for done in range(start + 1, plan.steps + 1):
                    now, figures = self.step(now, mesh.spread(next(data), self.devices))
                    stops = self.asked.asked() and done < plan.steps
                    self.tell(now, figures, done, stops, told)
                    if stops:
                        raise self.stopped(done)

    def stopped(self, done: int) -> Interrupted:
        """What is said when a signal ended the run."""
        return processes.agreed(
            Interrupted(
                f"stopped at step {done} of {self.plan.steps}, saved in {self.workdir.path}; "
                "the same command goes on from there"
            )
        )

    def tell(self, now: TrainState, figures: Arrays, done: int, stops: bool, told: Told) -> None:
        """What is due after a step, before the next batch: a line, a checkpoint, a validation."""
        ends = self.plan.ends_epoch(done)
        saves = ends or stops or done % self.config.run.checkpoint_every == 0
        self.watch.add(done, figures)
        if saves or done % self.config.run.log_every == 0:
            self.check(now, done, saves)
            line = {name: float(value) for name, value in figures.items()} | told.clock.since(done)
            told.metrics.write(done, epoch=self.plan.epoch(done), **line)
            rate = line.get("drawings_per_second")
            told.bar.note(f"loss {line['loss']:.3f}" + (f"  {rate:,.0f}/s" if rate else ""))
        if saves:
            told.saved.save(now)
        if ends and not stops and len(self.rows["valid"]):
            self.validate(now, done, told)
        told.saved.check()
        told.bar.advance()

    def check(self, now: TrainState, done: int, saves: bool) -> None:
        """Raises DataError where the run no longer computes numbers; writes the batch that did."""
        bad = self.watch.first_bad()
        if not bad and saves and not replay.sound(now.params):
            bad = done, "the weights behind it are no numbers"
        if not bad:
            return
        step, what = bad
        file = self.workdir.path / f"batch-{step}.ndjson"
        if processes.first():
            order = batches.order(
                self.store, self.rows["train"], self.config.data, self.config.seed
            )
            replay.write(file, self.store, order[step - 1])
        raise processes.agreed(
            DataError(
                f"step {step}, seed {self.config.seed}: {what}; its drawings are in {file}, the "
                "checkpoints before it are kept; start again with a lower --optim.learning-rate"
            )
        )

    def validate(self, now: TrainState, done: int, told: Told) -> None:
        """Measures a saved state on the validation split; Interrupted leaves it to the next run."""
        held_out, count = evaluate.held_out(
            self.store, self.rows["valid"], self.config.data, self.devices
        )
        held_out = self.asked.between(
            held_out, f"validating; step {done} is saved in {self.workdir.path}"
        )
        watched = told.bar.beside(held_out, "validating", count)
        figures = summary(evaluate.totals(self.look, now, watched), self.store.categories)
        kept = {f"valid_{name}": figures[name] for name in ("map3", "accuracy", "loss")}
        told.metrics.write(done, epoch=self.plan.epoch(done), **kept)
        told.bar.say(
            f"epoch {self.plan.epoch(done):.0f}: valid MAP@3 {figures['map3']:.4f}, "
            f"accuracy {figures['accuracy']:.4f}"
        )
        told.saved.measure(done, figures["map3"])


def show(workdir: Workdir, store: Store, rows: np.ndarray, data: schema.Data) -> None:
    """Writes some drawings: drawings.png as the network is shown them, drawings.ndjson as rows."""
    rows = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    batch = batches.draw(store, rows, data)
    names = [store.categories[label] for label in batch["label"]]
    pictures.sheet(batch["image"][..., 0], names, workdir.path / "drawings.png")
    replay.write(workdir.path / "drawings.ndjson", store, rows)
