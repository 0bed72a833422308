"""A work directory in, what its run said of every test drawing out."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dsnjax import calibration, evaluate, measured, metrics
from dsnjax import config as schema
from dsnjax.data.store import Store
from dsnjax.plan import Plan
from dsnjax.report import curves, strokes
from dsnjax.report.page import Markup
from dsnjax.workdir import Workdir


@dataclass(frozen=True)
class Run:
    """A finished run and what it said of every test drawing."""

    name: str
    workdir: Workdir
    config: schema.Config
    store: Store
    figures: dict[str, Any]
    """evaluation.json."""
    said: dict[str, np.ndarray]
    """predictions.npz: see evaluate.keep."""

    @cached_property
    def hit(self) -> np.ndarray:
        """[n] whether the first name was right."""
        return self.said["rank"] == 0

    @cached_property
    def score(self) -> np.ndarray:
        """[n] each drawing's part of MAP@3."""
        return metrics.reciprocal(self.said["rank"])

    @cached_property
    def reliability(self) -> tuple[list[dict[str, float]], float]:
        """See calibration.reliability."""
        return calibration.reliability(self.said["probability"][:, 0], self.hit)

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """metrics.jsonl."""
        return curves.lines(self.workdir.path)

    @cached_property
    def confusion(self) -> np.ndarray:
        """[k, k] counts, the label in the row."""
        return np.array(self.figures["confusion"])

    def drawn(self, places: np.ndarray) -> list[Markup]:
        """Test drawings, by their place among them, as SVG."""
        return [strokes.svg(one) for one in self.store.take(self.said["row"][places]).unpack()]

    def surest(self, places: np.ndarray, most: int) -> np.ndarray:
        """Those of the test drawings that the network was surest of."""
        chance = self.said["probability"][places, 0]
        return places[np.argsort(-chance, kind="stable")][:most]


def load(path: Path) -> Run:
    """A run; evaluated first where it never was, where what was said is lost or damaged, and where
    it was trained on since.

    Raises:
        CheckpointError: nothing was trained there yet.
        UserError: its store is gone.
    """
    workdir = Workdir(path)
    config = workdir.config()
    said = measured.answers(path)
    told = measured.figures(path)
    if not said or not current(workdir, config, told):
        evaluate.evaluate(workdir)
        said, told = measured.answers(path), measured.figures(path)
    return Run(path.name or str(path), workdir, config, workdir.store(), told, said)


def current(workdir: Workdir, config: schema.Config, told: dict[str, Any]) -> bool:
    """Whether figures of evaluation.json are of the checkpoints that are there now."""
    if not {"steps_left", "trained_on"} <= told.keys():
        return False
    plan = Plan(told["trained_on"], config.data.batch_size, config.run.epochs)
    reached = max(workdir.checkpoints().steps(), default=0)
    return plan.steps - told["steps_left"] == reached
