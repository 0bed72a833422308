"""Train states on disk: saved behind the steps, verified by SHA-256, the latest and best kept.

A step is a folder that Orbax commits by renaming it, and beside it, written last, a manifest
with the SHA-256 of every file in it. Orbax itself loads a flipped bit without a word; here a step
counts only while its manifest verifies, and the step before it is used instead.
"""

import json
import logging
import shutil
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from dsnjax import processes
from dsnjax.errors import CheckpointError, Interrupted, UserError, one_line
from dsnjax.files import sha256, write
from dsnjax.state import TrainState

# Orbax speaks of every save, and of one that fails on 200 lines; it is told in our own words.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)

LATEST = 2  # steps kept besides the best one; the older serves where the newer is damaged


class Checkpoints:
    """The steps saved in one folder. Use as a context: leaving it waits for the last save."""

    def __init__(self, folder: Path):
        self.folder = folder.absolute()  # Orbax takes no relative paths
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._thread.shutdown(wait=True)
        if kind is None or issubclass(kind, Interrupted):  # which says that all is saved
            self.check(wait=True)

    def steps(self) -> list[int]:
        """Steps with a manifest, oldest first; read from disk each time."""
        return sorted(
            int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal()
        )

    def save(self, state: TrainState) -> None:
        """Saves a state in the background; its arrays may be donated as soon as this returns.

        Raises:
            Interrupted: the save before this one failed; the last good step is still there.
        """
        self.check(wait=True)
        step = int(state.step)
        self.folder.mkdir(parents=True, exist_ok=True)
        response = ocp.save_async(str(self._place(step)), _parts(state), overwrite=True)
        about = {"step": step, "arrays": _shapes(state)}
        self._saving = self._thread.submit(self._commit, response, about, time.perf_counter())

    def check(self, *, wait: bool = False) -> None:
        """Raises Interrupted as soon as a save behind the steps is known to have failed."""
        if self._saving is None or not (wait or self._saving.done()):
            return
        saving, self._saving = self._saving, None
        try:
            saving.result()
        except (OSError, ValueError) as error:  # Orbax reports a full disk as a ValueError
            for left in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(left, ignore_errors=True)
            what = one_line(error)[-200:]  # the cause comes last, behind long paths
            if "No space left" in what:
                what = "the disk is full"
            there = self.steps()
            kept = f"step {there[-1]} is intact" if there else "none is there yet"
            raise Interrupted(
                f"{self.folder}: saving a checkpoint failed: {what}; {kept}, make room and start "
                "again"
            ) from error

    def ranked(self) -> list[int]:
        """Steps by their MAP@3 on the validation split, best first; then those without, newest
        first."""
        map3 = {step: self._manifest(step).get("map3") for step in self.steps()}
        return sorted(
            map3,
            key=lambda step: (map3[step] is not None, map3[step] or 0, step),
            reverse=True,
        )

    def measured(self, step: int) -> bool:
        """Whether a step's MAP@3 is known."""
        return self._manifest(step).get("map3") is not None

    def measure(self, step: int, map3: float) -> None:
        """Writes a step's MAP@3 on the validation split, as soon as it is saved."""
        self.check(wait=True)
        # Beside a manifest that cannot be read, one of a figure alone would look like a step.
        if processes.first() and (manifest := self._manifest(step)):
            self._write(step, manifest | {"map3": map3})

    def newest(self, like: TrainState) -> TrainState | None:
        """The newest step that verifies, or None in a folder without any.

        Args:
            like: the wanted state as shapes with shardings.

        Raises:
            CheckpointError: there are steps, and every one of them is damaged.
            UserError: it was made for another network; names the parameter and both shapes.
        """
        step = processes.together(lambda: self._first_good(self.steps()[::-1]))
        return None if step is None else self._load(step, like)

    def best(self, like: TrainState) -> TrainState:
        """The step that ranks highest of those that verify.

        Raises:
            CheckpointError: there are none.
            UserError: it was made for another network; names the parameter and both shapes.
        """
        # One whose manifest is lost may have been the best: it is named with what is wrong.
        lost = [step for step in self.steps() if not self._manifest(step)]
        order = [*lost, *(step for step in self.ranked() if step not in lost)]
        step = processes.together(lambda: self._first_good(order))
        if step is None:
            raise processes.agreed(
                CheckpointError(f"{self.folder}: no checkpoint; train there first")
            )
        return self._load(step, like)

    def _first_good(self, steps: list[int]) -> int | None:
        """The first of the steps that verifies; says of each one before it what is wrong."""
        for step in steps:
            if fault := self.fault(step):
                print(f"{self.folder}: step {step} skipped: {fault}", file=sys.stderr)
            else:
                return step
        if steps:
            raise CheckpointError(f"{self.folder}: every checkpoint is damaged; train afresh")
        return None

    def fault(self, step: int) -> str:
        """What is wrong with a step, or nothing."""
        files = self._manifest(step).get("files")
        if not files:
            return "its manifest cannot be read"
        for name, digest in files.items():
            path = self._place(step) / name
            try:
                found = sha256(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return f"{name} is missing"
            if found != digest:
                return f"{name} has changed since it was written"
        return ""

    def _load(self, step: int, like: TrainState) -> TrainState:
        """A step that verified."""
        # Agreed upon before Orbax reads, which waits for the other processes.
        processes.alike(lambda: self._require(step, _shapes(like)))
        return TrainState(**ocp.load(str(self._place(step)), _parts(like)))

    def _require(self, step: int, wanted: dict[str, str]) -> None:
        """Raises UserError where a step holds other arrays."""
        there = self._manifest(step)["arrays"]
        for name in wanted | there:
            found, asked = there.get(name, "absent"), wanted.get(name, "none")
            if found != asked:
                flags = "--optim" if name.startswith(("opt_state/", "ema/")) else "--model"
                raise UserError(
                    f"{self._place(step)}: {name} is {found} there, the config wants {asked}; "
                    f"use the {flags} values it was trained with"
                )

    def _commit(self, response: Any, about: dict[str, Any], begun: float) -> None:
        """Waits for Orbax, writes the manifest, drops the steps that are no longer kept."""
        response.result()
        if not processes.first():
            return
        place = self._place(about["step"])
        files = sorted(path for path in place.rglob("*") if path.is_file())
        about["files"] = {str(path.relative_to(place)): sha256(path) for path in files}
        about["bytes"] = sum(path.stat().st_size for path in files)
        about["seconds"] = round(time.perf_counter() - begun, 3)
        self._write(about["step"], about)
        # Steps beyond this one were damaged, or the run would not have gone on from before them.
        ranked = [step for step in self.ranked() if step <= about["step"]]
        kept = {*sorted(ranked)[-LATEST:], ranked[0]}
        for old in set(self.steps()) - kept:
            (self.folder / f"{old}.json").unlink()
        # Also what a killed run left behind half written.
        for place in self.folder.iterdir():
            if place.is_dir() and place.name not in map(str, kept):
                shutil.rmtree(place, ignore_errors=True)

    def _write(self, step: int, manifest: dict[str, Any]) -> None:
        """The manifest of a step, complete or not at all, also after a loss of power."""
        write(self.folder / f"{step}.json", json.dumps(manifest))

    def _place(self, step: int) -> Path:
        return self.folder / str(step)

    def _manifest(self, step: int) -> dict[str, Any]:
        """The manifest of a step; empty where it cannot be read."""
        try:
            found = json.loads((self.folder / f"{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _parts(state: TrainState) -> dict[str, Any]:
    """A state by its parts, without those that the run does not keep.

    So a part that is new in dsnjax is none that an older checkpoint lacks.
    """
    return {name: part for name, part in vars(state).items() if part is not None}


def _shapes(state: TrainState) -> dict[str, str]:
    """Kind and shape of every array of a state; parameters by their own name."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("params/")
        found[name] = f"{leaf.dtype}{list(leaf.shape)}"
    return found
