"""A bundle and its export in, how far they say the same of drawings out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import raster
from dsnjax import bundle, metrics
from dsnjax.compiled import Compiled
from dsnjax.data import batches, synthetic
from dsnjax.data.store import Store
from dsnjax.errors import Trouble, UserError
from dsnjax.workdir import Workdir

DRAWINGS = 1000
LARGEST = 1e-3
"""Largest difference of a logit that is let pass of float32. Others are held to MAP@3 alone."""
LOSS = 0.01
"""Largest fall of MAP@3 that is let pass."""


@dataclass(frozen=True)
class Drawings:
    """Drawings to compare on, and where they come from. label [b] is None where none is known."""

    packed: raster.Packed
    label: np.ndarray | None
    source: str


@dataclass(frozen=True)
class Parity:
    """What a comparison found: of logits the largest difference, and MAP@3 before and after."""

    drawings: Drawings
    difference: float
    before: float
    after: float

    def __str__(self) -> str:
        against = "" if self.drawings.label is not None else " (against the network's first guess)"
        return (
            f"parity: {len(self.drawings.packed):,} {self.drawings.source}, largest difference of "
            f"a logit {self.difference:.2g}, MAP@3 {self.before:.4f} -> {self.after:.4f}{against}"
        )

    def check(self, precision: str) -> None:
        """Raises Trouble where the export says something else than the network."""
        exact = precision == "float32"
        far = exact and not self.difference <= LARGEST
        if far or self.before - self.after > LOSS:
            of_logits = f"{LARGEST:g} of a logit and " if exact else ""
            raise Trouble(
                f"{self}; want at most {of_logits}{LOSS:g} of MAP@3 lost with {precision}; "
                "nothing was written"
            )


def drawings(workdir: Workdir | None) -> Drawings:
    """Test drawings of the run's store where it is there, else made-up ones."""
    if workdir is None:
        return made_up()
    try:
        store, data = workdir.store(), workdir.config().data
    except UserError:  # trained elsewhere: the drawings are not here
        return made_up()
    return of_store(store, batches.rows(store, data)["test"], data.store is not None)


def of_store(store: Store, rows: np.ndarray, real: bool) -> Drawings:
    """Drawings of a store, spread evenly over its rows, with their labels."""
    rows = batches.few(rows, DRAWINGS)
    kind = "drawings of the run's test split" if real else "made-up drawings of the test split"
    return Drawings(store.take(rows), store.label[rows].astype(int), kind)


def made_up() -> Drawings:
    """Drawings of dsnjax's own categories, which the network may not know."""
    each = DRAWINGS // len(synthetic.categories())
    found = [
        # Evenly in time, for networks that are shown it.
        [[xs, ys, list(range(20 * at, 20 * at + len(xs)))] for at, (xs, ys) in enumerate(strokes)]
        for strokes in (row["drawing"] for row in synthetic.drawings(each, seed=1))
    ]
    return Drawings(raster.pack(found), None, "made-up drawings")


def compare(
    model: bundle.Bundle, run: Callable[[raster.Packed], np.ndarray], drawings: Drawings
) -> Parity:
    """Compares logits [b, k] of `run` with those of the network, computed in float32."""
    expected, found = Compiled(model).logits(drawings.packed), run(drawings.packed)
    label = expected.argmax(axis=1) if drawings.label is None else drawings.label
    difference = float(np.abs(expected - found).max())  # NaN where either has one
    return Parity(drawings, difference, map3(expected, label), map3(found, label))


def map3(logits: np.ndarray, label: np.ndarray) -> float:
    """Mean average precision at 3."""
    return float(metrics.reciprocal(np.asarray(metrics.ranks(logits, label))).mean())
