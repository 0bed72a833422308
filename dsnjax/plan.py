"""Drawings, batch size and epochs in, the steps at which a run and its epochs end out."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """When a run ends and its epochs end, in steps."""

    drawings: int
    batch_size: int
    epochs: int

    @property
    def steps(self) -> int:
        return math.ceil(self.drawings * self.epochs / self.batch_size)

    @property
    def ends(self) -> tuple[int, ...]:
        """The steps at which epochs end; the last one ends the run."""
        return tuple(
            math.ceil(self.drawings * epoch / self.batch_size)
            for epoch in range(1, self.epochs + 1)
        )

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""
        return round(step * self.batch_size / self.drawings, 4)

    def ends_epoch(self, step: int) -> bool:
        """Whether the step that leads to `step` finished an epoch, or the run."""
        return step == self.steps or step * self.batch_size % self.drawings < self.batch_size
