"""A config and a work directory in, a trained and evaluated network out."""

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from dsnjax import config as schema
from dsnjax import (
    evaluate,
    measured,
    mesh,
    optim,
    pictures,
    processes,
    replay,
    start,
    state,
    stop,
    tracking,
    writers,
)
from dsnjax.checkpoint import Checkpoints
from dsnjax.data import batches
from dsnjax.data.store import Store
from dsnjax.errors import DataError, Interrupted, UserError
from dsnjax.metrics import summary
from dsnjax.plan import Plan
from dsnjax.state import Arrays, TrainState
from dsnjax.step import make_train_step
from dsnjax.timing import Clock, Profile
from dsnjax.workdir import Workdir, abstract

SHOWN = 70  # drawings in drawings.png


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
        if processes.together(lambda: measured.finished(workdir.path)):
            return measured.figures(workdir.path)
        training = processes.alike(lambda: Training(config, workdir, workdir.store(), asked))
        rows = training.rows["test"]
        processes.together(lambda: show(workdir, training.store, rows, config.data))
        training.run()
        return evaluate.evaluate(workdir, step=training.look, devices=training.devices, stop=asked)


@dataclass(frozen=True)
class Told:
    """Where a run tells of itself."""

    saved: Checkpoints
    metrics: writers.Writer
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
        frozen = config.init.freeze
        self.network = state.network(config.model, config.data, len(store.categories), frozen)
        tx = optim.make(config.optim, self.plan.ends)
        self.shapes = abstract(self.network, config, self.devices)
        lies = mesh.shardings(self.shapes)
        self.born = state.once(
            lambda weights: state.initial(
                self.network, tx, config.seed, weights, ema=config.optim.ema > 0
            ),
            out_shardings=lies,
        )
        self.step = jax.jit(
            make_train_step(self.network, tx, config.loss, config.optim, self.plan.steps),
            out_shardings=(lies, mesh.replicated(self.devices)),
            donate_argnums=0,
        )
        self.watch = replay.Watch()
        self.look = evaluate.make_eval_step(self.network, self.devices)

    def begin(self) -> TrainState:
        """The state before the first step: fresh, or from the models that `init` names."""
        categories = self.store.categories
        weights = processes.alike(lambda: start.weights(self.config, self.network, categories))
        now = self.born(weights)
        if self.config.loss.centers == "running" or not self.config.loss.alpha:
            return now
        rows, data = self.rows["train"], self.config.data
        drawings, count = evaluate.held_out(self.store, rows, data, self.devices)
        drawings = self.asked.between(drawings, "measuring the centers")
        with tracking.bar("centers", count, quiet=not processes.first()) as bar:
            fixed = start.centers(self.network, now, bar.watched(drawings))
        lies = mesh.shardings(self.shapes.centers)
        return replace(now, centers=jax.jit(lambda centers: centers, out_shardings=lies)(fixed))

    def run(self) -> None:
        """Steps from the newest checkpoint to the end of the plan."""
        config, plan, path = self.config, self.plan, self.workdir.path
        with self.workdir.checkpoints() as saved:
            now = saved.newest(self.shapes) or self.begin()
            reached = int(now.step)
            data = batches.training(
                self.store, self.rows["train"], config.data, config.seed, reached, own=self.own
            )
            others = not processes.first()
            metrics = processes.alike(lambda: writers.open_all(path, config, reached, quiet=others))
            bar = tracking.bar("training", plan.steps, reached, quiet=others)
            profile, clock = Profile(config.run.profile, path / "profile"), Clock()
            with closing(data), closing(metrics), closing(profile), closing(clock), bar as bar:
                told = Told(saved, metrics, bar, clock)
                halfway = reached and plan.ends_epoch(reached) and not saved.measured(reached)
                if halfway and len(self.rows["valid"]):
                    self.validate(now, reached, told)  # was stopped in the midst of it
                bar.note("compiling")
                for done in range(reached + 1, plan.steps + 1):
                    profile.before(done)
                    now, figures = self.step(now, mesh.spread(clock.next(data), self.devices))
                    clock.stepped(figures["loss"])
                    profile.after(done, figures)
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
            line = {name: float(value) for name, value in figures.items()}
            line |= told.clock.since(done, self.config.data.batch_size)
            told.metrics.write(done, epoch=self.plan.epoch(done), **line)
            told.bar.note(note(line))
        if saves:
            told.saved.save(now)
        if ends and not stops and len(self.rows["valid"]):
            self.validate(now, done, told)
        if saves:
            told.clock.restart(done)
        told.saved.check()
        told.bar.advance()

    def check(self, now: TrainState, done: int, saves: bool) -> None:
        """Raises DataError where the run no longer computes numbers; writes the batch that did."""
        bad = self.watch.first_bad()
        if not bad and saves and not replay.sound(now):
            bad = done, "what it made of the weights is no number"
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
                "checkpoints before it are kept; start again with a lower --optim.learning-rate in "
                "another --workdir"
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
        figures = summary(
            evaluate.totals(partial(self.look, temperature=1.0), now, watched),
            self.store.categories,
        )
        kept = {f"valid_{name}": figures[name] for name in ("map3", "accuracy", "loss")}
        told.metrics.write(done, epoch=self.plan.epoch(done), **kept)
        told.bar.say(
            f"epoch {self.plan.epoch(done):.0f}: valid MAP@3 {figures['map3']:.4f}, "
            f"accuracy {figures['accuracy']:.4f}"
        )
        told.saved.measure(done, figures["map3"])


def note(line: dict[str, float]) -> str:
    """A line of metrics for the bar."""
    text = f"loss {line['loss']:.3f}"
    if "step_seconds" in line:
        text += f"  {line['drawings_per_second']:,.0f}/s  {line['step_seconds']:.3g} s a step"
        text += f"  {line['data_wait']:.0%} waiting for data"
    return text


def show(workdir: Workdir, store: Store, rows: np.ndarray, data: schema.Data) -> None:
    """Writes some drawings: drawings.png as the network is shown them, drawings.ndjson as rows."""
    rows = batches.few(rows, SHOWN)
    batch = batches.draw(store, rows, data)
    names = [store.categories[label] for label in batch["label"]]
    pictures.sheet(batch["image"][..., 0], names, workdir.path / "drawings.png")
    replay.write(workdir.path / "drawings.ndjson", store, rows)
