"""One base config and many overrides in, a work directory for each, a table and two figures out."""

import itertools
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field
from rich.table import Table

from dsnjax import config as schema
from dsnjax import files, measured, settings, tracking
from dsnjax.config import Section
from dsnjax.data import engines
from dsnjax.data.store import read_manifest
from dsnjax.errors import Interrupted, UserError, one_line
from dsnjax.report import curves, figures, page, statistics

STOPPED = Interrupted.exit_code


class Sweep(Section):
    """A sweep's file: what all runs share, and what each of them changes."""

    base: str = "dsn_small"
    """A preset or a YAML file that every run starts from."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Values that every run has, by dotted name or in sections: `run.epochs: 2`."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Values to be combined, every one with every other."""
    runs: list[dict[str, Any]] = Field(default_factory=list)
    """Instead of a grid, or each combined with it: the overrides of single runs."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    name: str
    overrides: dict[str, Any]
    config: schema.Config


def plan(file: str, common: dict[str, Any], base: str | None = None) -> list[Run]:
    """The runs of a sweep's file, every config checked before the first one starts.

    Args:
        file: a name among configs/sweeps, or a path.
        common: values that win over those of the file, such as the store.
        base: what runs start from, where not from the file's own base.

    Raises:
        UserError: no such file; a setting that does not exist, with the nearest; a refused value;
            a common value for what the runs differ in; two runs that are the same.
    """
    sweep = settings.check(Sweep, settings.load(file, kind="sweep"))
    base = base or sweep.base
    values = settings.load(base)
    every, common = settings.flat(sweep.set), settings.flat(common)
    changes = list(_overrides(sweep))
    first = changes[0] if changes else {}
    settings.check_alone(values, every | first | common, f"base {base}")
    short = shortest({path for overrides in changes for path in overrides})
    runs: dict[str, Run] = {}
    for overrides in changes:
        if twice := sorted(set(common) & set(overrides)):
            raise UserError(
                f"--config {file}: its runs differ in {twice[0]}; do not set it as well"
            )
        merged, given = dict(values), every | overrides | common
        # `data: 5` last, where it is refused; before `data.length: 9` it would be lost.
        for path in sorted(given, key=lambda path: -path.count(".")):
            settings.put(merged, path, given[path])
        name = named({short[path]: value for path, value in overrides.items()}) or "base"
        if name in runs:
            raise UserError(f"--config {file}: two of its runs change the same: {name}")
        checked = settings.check(schema.Config, merged, f"--config {file}")
        runs[name] = Run(name, overrides, checked)
    return list(runs.values())


def assigned(words: Sequence[str]) -> dict[str, Any]:
    """`run.epochs=5` and the like as values by dotted name. Raises UserError for another form."""
    values = {}
    for word in words:
        path, equals, value = word.partition("=")
        try:
            values[path] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            equals = ""
        if not equals:
            raise UserError(f"--set {word}: want a name and a value, such as run.epochs=5")
    return values


def shortest(paths: set[str]) -> dict[str, str]:
    """Each dotted name's last word, or all of it where another one ends alike."""
    last = {path: path.rpartition(".")[2] for path in paths}
    ends = Counter(last.values())
    return {path: word if ends[word] == 1 else path for path, word in last.items()}


def named(changes: dict[str, Any]) -> str:
    """A folder's name from what a run changes: `learning_rate=0.003,alpha=0`."""
    parts = (f"{name}={value}" for name, value in changes.items())
    return re.sub(r"[^\w=.,+-]+", "_", ",".join(parts))


def _overrides(sweep: Sweep) -> Iterator[dict[str, Any]]:
    combined = itertools.product(*sweep.grid.values())
    for values, own in itertools.product(combined, sweep.runs or [{}]):
        yield settings.flat(dict(zip(sweep.grid, values, strict=True))) | settings.flat(own)


def execute(runs: Sequence[Run], folder: Path, jobs: int | None, engine: str) -> dict[str, str]:
    """Trains what is not finished; a run that fails loses no other.

    Each run is a process of its own: `dsnjax train` with a work directory below `folder`.

    Args:
        jobs: runs at a time; None is one, or with Ray as many as its cluster has room for.
        engine: `local`, or `ray`.

    Returns:
        why each failed run failed, by its name.

    Raises:
        UserError: one was begun with other values, or wants a store that is not there.
        Interrupted: stopped from outside; the same call goes on.
    """
    for run in runs:
        settings.same_run(folder / run.name / "config.yaml", run.config)
    waiting = [run for run in runs if not measured.finished(folder / run.name)]
    for store in {store for run in waiting if (store := run.config.data.store)}:
        read_manifest(store)
    if not waiting:
        return {}
    commands = {run.name: command(run, folder) for run in waiting}
    if engine == "ray":
        codes = on_ray(commands, jobs or len(commands))
    else:
        codes = here(commands, jobs or 1)
    if any(code == STOPPED for code, _ in codes.values()):
        raise Interrupted(f"{folder}: stopped, finished runs are kept; the same command goes on")
    return {name: said for name, (code, said) in codes.items() if code}


def command(run: Run, folder: Path) -> list[str]:
    """The words that train one run; its config lies beside the work directories."""
    file = (folder / "configs" / f"{run.name}.yaml").absolute()
    values = run.config.model_dump(mode="json")
    files.write(file, yaml.safe_dump(values, sort_keys=False))
    workdir = (folder / run.name).absolute()
    return [
        *(sys.executable, "-m", "dsnjax.main", "train"),
        *("--config", str(file), "--workdir", str(workdir)),
    ]


def train(words: Sequence[str]) -> tuple[int, str]:
    """Runs a command to its end: its exit code and the last line it said; Ctrl-C stops it."""
    # It may be ignored: workers inherit that from a driver that a script began in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = _started(words)
    try:
        return _ended(process)
    except KeyboardInterrupt:  # by which Ray cancels a task
        process.terminate()
        return _ended(process)


def _started(words: Sequence[str]) -> subprocess.Popen:
    # In a session of its own, so that Ctrl-C reaches it once, from us: a second one is no save.
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _ended(process: subprocess.Popen) -> tuple[int, str]:
    while True:  # Ray's interrupt is no signal: one call that waits for the end would not hear it
        with suppress(subprocess.TimeoutExpired):
            said = process.communicate(timeout=1)[0].strip().splitlines()
            if (code := process.returncode) < 0:  # by the kernel, where memory runs out
                return code, f"killed by {signal.Signals(-code).name}"
            return code, said[-1].removeprefix("dsnjax: ") if said else ""


def here(commands: dict[str, list[str]], jobs: int) -> dict[str, tuple[int, str]]:
    """Runs commands as processes of this machine, `jobs` at a time; stopped, it stops them."""
    started: list[subprocess.Popen] = []

    def run(words: Sequence[str]) -> tuple[int, str]:
        started.append(process := _started(words))
        return _ended(process)

    def stop() -> None:
        for process in started:
            if process.poll() is None:
                process.terminate()

    return _side_by_side(commands, jobs, run, stop)


def on_ray(commands: dict[str, list[str]], jobs: int) -> dict[str, tuple[int, str]]:
    """Runs commands as tasks of a Ray cluster, whose machines see the same folders.

    A task has a GPU of its own, or one processor where the cluster has no GPU. One whose worker is
    lost is begun again, three times as Ray does, and then has failed.
    """
    ray = engines.cluster()
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    task = ray.remote(train).options(num_gpus=gpus)
    started: list[Any] = []

    def run(words: Sequence[str]) -> tuple[int, str]:
        started.append(result := task.remote(words))
        try:
            return ray.get(result)
        except ray.exceptions.RayError as error:
            return 1, f"Ray: {one_line(error)[-200:]}"

    def stop() -> None:
        for result in started:
            ray.cancel(result)

    return _side_by_side(commands, jobs, run, stop)


def _side_by_side(
    commands: dict[str, list[str]],
    jobs: int,
    run: Callable[[Sequence[str]], tuple[int, str]],
    stop: Callable[[], None],
) -> dict[str, tuple[int, str]]:
    """What `run` gives for each command, in threads that only wait; `stop` ends those that run."""
    codes: dict[str, tuple[int, str]] = {}
    pool = ThreadPoolExecutor(jobs)
    with tracking.bar("runs", len(commands)) as bar:
        try:
            for name, ended in zip(commands, pool.map(run, commands.values()), strict=True):
                codes[name] = ended
                bar.say(f"{name}: {ended[1]}")
                bar.advance()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            pool.shutdown(wait=True)
    return codes


def rows(runs: Sequence[Run], folder: Path, failed: dict[str, str]) -> list[dict[str, Any]]:
    """The table: each run's overrides and figures, the best MAP@3 first, unfinished ones last."""
    changed = list(dict.fromkeys(path for run in runs for path in run.overrides))
    table = []
    for run in runs:
        workdir = folder / run.name
        # A run that failed may have been evaluated before its end.
        found = measured.figures(workdir) if measured.finished(workdir) else {}
        table.append(
            {"run": run.name}
            | {path: run.overrides.get(path) for path in changed}
            | {name: found.get(name) for name in ("map3", "accuracy", "loss", "drawings", "step")}
            | {"error": failed.get(run.name)}
        )
    return sorted(table, key=lambda row: -(row["map3"] or 0))


def figure(runs: Sequence[Run], folder: Path) -> str:
    """Accuracy and loss of every run against steps, training and validation, as SVG text."""
    told = [(run.name, curves.lines(folder / run.name)) for run in runs]
    return figures.alone(curves.chart([one for one in told if one[1]]))


def estimates(runs: Sequence[Run], folder: Path) -> str:
    """MAP@3 and accuracy of each finished run with 95 % intervals, as SVG text (Figures 8 and 12).

    They stand against the first setting that is another number in each run; where there is none,
    MAP@3 stands in a row for each run. Nothing where no run has ended.
    """
    from dsnjax import metrics  # loads jax

    ended = [run for run in runs if measured.finished(folder / run.name)]
    said = [(run, measured.answers(folder / run.name)) for run in ended]
    ranks = {run.name: answers["rank"] for run, answers in said if answers}
    if not ranks:
        return ""
    panels = {
        "MAP@3": [statistics.estimate(metrics.reciprocal(rank)) for rank in ranks.values()],
        "accuracy": [statistics.estimate(rank == 0) for rank in ranks.values()],
    }
    path, numbers = swept([run for run in runs if run.name in ranks])
    if not path:
        title = "MAP@3 with 95 % intervals"
        return figures.alone(figures.points(list(ranks), panels["MAP@3"], title, "MAP@3"))
    return figures.alone(figures.against(path, numbers, panels))


def swept(runs: Sequence[Run]) -> tuple[str, list[float]]:
    """The first setting that is another number in each run, and these; "" where there is none."""
    values = [settings.flat(run.config.model_dump()) for run in runs]
    for path in runs[0].overrides:
        found = [one[path] for one in values]
        if {type(one) for one in found} <= {int, float} and len(set(found)) == len(found):
            return path, found
    return "", []


def write(runs: Sequence[Run], folder: Path, failed: dict[str, str]) -> Table:
    """Writes sweep.csv, sweep.json, sweep.svg, estimates.svg; returns the table for a terminal."""
    table = rows(runs, folder, failed)
    page.table(folder / "sweep.csv", table)
    files.write(folder / "sweep.json", json.dumps(table, indent=1) + "\n")
    files.write(folder / "sweep.svg", figure(runs, folder))
    if points := estimates(runs, folder):
        files.write(folder / "estimates.svg", points)
    shown = Table("run", "MAP@3", "accuracy", "loss")
    for row in table:
        figures = (row["map3"], row["accuracy"], row["loss"])
        shown.add_row(row["run"], *("failed" if one is None else f"{one:.4f}" for one in figures))
    return shown
