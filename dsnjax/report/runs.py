"""Finished work directories in, one page that shows and compares them out."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dsnjax.data import batches, noise
from dsnjax.errors import UserError
from dsnjax.report import curves, explore, figures, look, network, page, statistics
from dsnjax.report.page import Markup
from dsnjax.report.run import Run, load
from dsnjax.workdir import Workdir

GROUPS = 8  # confusion groups shown
SHOWN = 8  # drawings in a row of them
WORST = 24  # most confident mistakes shown
MATRIX, CELL = 704, 12  # pixels of a matrix that are read, and of a cell of a large one
ROOMY, BESIDE = 32, 256  # of a cell of a small one, and of the names beside its cells
COUNTRIES = 12
DIFFERENCES = 10  # categories in which runs differ most


def write(paths: Sequence[Path], dest: Path) -> None:
    """Writes the page of some runs, and beside it its numbers as JSON and per category as CSV.

    Raises:
        UserError: two paths are one, or the runs were tested on other categories or drawings.
    """
    runs = named([load(path) for path in paths])
    same_categories(runs)
    first = runs[0]
    compared = [compare(first, other) for other in runs[1:]]
    headlines, shown = [headline(run) for run in runs], [details(run) for run in runs]
    changed = by_category(first, runs[1:])
    numbers = {
        "runs": [
            one | beside(run, own) for one, run, own in zip(headlines, runs, shown, strict=True)
        ],
        "compared": compared,
        "by_category": changed,
    }
    page.table(dest.with_suffix(".csv"), per_category(runs))
    page.write(
        "run.html",
        dest,
        numbers,
        title="Comparison of runs" if compared else f"Run {first.name}",
        credit=first.config.data.store is not None,
        runs=headlines,
        compared=compared,
        changed=changed,
        protocols=sorted({run["protocol"] for run in headlines}),
        estimates=Markup(
            figures.points(
                [run.name for run in runs],
                [statistics.estimate(run.score) for run in runs],
                "MAP@3 with 95 % intervals",
                "MAP@3",
            )
        ),
        curves=Markup(curves.chart([(run.name, run.lines) for run in runs])),
        reliability=Markup(
            figures.reliability([(run.name, run.reliability[0]) for run in runs], "Calibration")
        ),
        details=shown,
    )


def network_figure(workdir: Path, dest: Path) -> None:
    """Writes a run's network as SVG. Raises UserError where `dest` is no SVG."""
    run = Workdir(workdir)
    figures.write(dest, network.svg(run.config(), len(run.categories())))


def named(runs: list[Run]) -> list[Run]:
    """The runs under names that tell them apart."""
    paths = [run.workdir.path.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise UserError("report: one --workdir is given twice; want different ones")
    if len({run.name for run in runs}) == len(runs):
        return runs
    return [replace(run, name=str(run.workdir.path)) for run in runs]


def same_categories(runs: Sequence[Run]) -> None:
    """Raises UserError where a run has other categories than the first."""
    first = runs[0]
    for other in runs[1:]:
        if other.store.categories != first.store.categories:
            raise UserError(
                f"{other.workdir.path}: other categories than {first.workdir.path}; "
                "runs are compared on the same ones"
            )


def headline(run: Run) -> dict[str, Any]:
    """The headline of a run."""
    top3 = run.said["rank"] < 3
    return {
        "name": run.name,
        "workdir": str(run.workdir.path),
        "map3": asdict(statistics.estimate(run.score)),
        "accuracy": asdict(statistics.estimate(run.hit)),
        "top3": asdict(statistics.estimate(top3)),
        "calibration_error": run.reliability[1],
        "calibration": run.figures["calibration"],
        "steps_left": run.figures["steps_left"],
        "cross_entropy": run.figures["loss"],
        "drawings": run.figures["drawings"],
        "categories": len(run.store.categories),
        "split": run.figures["split"],
        "protocol": run.figures["protocol"],
        "step": run.figures["step"],
        "training_seconds": curves.seconds(run.lines, run.config.data.batch_size),
    }


def beside(run: Run, shown: dict[str, Any]) -> dict[str, Any]:
    """What the JSON tells of a run besides its headline: the numbers of what `details` shows."""
    return {
        "unfinished": shown["unfinished"],
        "reliability": run.reliability[0],
        "mistakes": [
            dict(zip(("label", "guess", "count"), one, strict=True)) for one in shown["pairs"]
        ],
        "parts": shown["parts"],
        "groups": [
            [{name: row[name] for name in ("label", "guess", "count", "of")} for row in one["rows"]]
            for one in shown["groups"]
        ],
    }


def common(first: Run, other: Run) -> tuple[np.ndarray, np.ndarray]:
    """Places of the test drawings that both saw, in the one and in the other."""
    keys = [
        np.stack([run.said["hash"], run.said["label"].astype(np.uint64)], axis=1)
        .view([("hash", "u8"), ("label", "u8")])
        .ravel()
        for run in (first, other)
    ]
    _, one, two = np.intersect1d(keys[0], keys[1], return_indices=True)
    if not len(one):
        raise UserError(
            f"{first.workdir.path} and {other.workdir.path}: no test drawing in common; "
            "want runs of the same split"
        )
    return one, two


def compare(first: Run, other: Run) -> dict[str, Any]:
    """How `other` differs from `first` over the test drawings that both saw."""
    one, two = common(first, other)
    return {
        "first": first.name,
        "other": other.name,
        "drawings": len(one),
        "map3": asdict(statistics.estimate(other.score[two] - first.score[one])),
        "accuracy": asdict(
            statistics.estimate(other.hit[two].astype(float) - first.hit[one].astype(float))
        ),
        "mcnemar_p": statistics.mcnemar(first.hit[one], other.hit[two]),
    }


def by_category(first: Run, others: Sequence[Run]) -> list[dict[str, Any]]:
    """The categories in which a run differs most from `first`: MAP@3 there, and each difference.

    A difference is None where the two runs have no test drawing of the category in common.
    """
    names, gaps = first.store.categories, []
    for other in others:
        one, two = common(first, other)
        gaps.append((first.said["label"][one], other.score[two] - first.score[one]))
    means = np.array([statistics.means(gap, label, len(names)) for label, gap in gaps])
    means = means.reshape(len(others), len(names))
    largest = np.abs(means).max(axis=0, initial=0)
    order = [place for place in np.argsort(-largest, kind="stable") if largest[place]]
    return [
        {
            "category": names[place],
            "map3": first.figures["per_category"][names[place]]["map3"],
            "differences": [
                asdict(statistics.estimate(gap[label == place])) if (label == place).any() else None
                for label, gap in gaps
            ],
        }
        for place in order[:DIFFERENCES]
    ]


def per_category(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of the CSV: figures of every category under every run."""
    return [
        {"run": run.name, "category": name, **own}
        for run in runs
        for name, own in run.figures["per_category"].items()
    ]


def details(run: Run) -> dict[str, Any]:
    """What the page shows of one run alone."""
    ranked = sorted(run.figures["per_category"].items(), key=lambda item: item[1]["map3"])
    return {
        "name": run.name,
        "unfinished": look.unfinished(run),
        "bars": [(name, own["map3"], f"{100 * own['map3']:.1f}") for name, own in ranked],
        "confusion": matrices(run),
        "pairs": [
            (run.store.categories[label], run.store.categories[guess], count)
            for label, guess, count in statistics.pairs(run.confusion, 12)
        ],
        "groups": [group(run, labels) for labels in statistics.groups(run.confusion)[:GROUPS]],
        "worst": worst(run),
        "attention": look.attention(run),
        "parts": parts(run),
        "known": known(run),
        "config": yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False),
        "facts": facts(run),
        "network": Markup(network.svg(run.config, len(run.store.categories))),
    }


def matrices(run: Run) -> list[tuple[str, Markup, int]]:
    """The confusion matrix and its pixels; of many categories also that of the most confused."""
    names, counts = run.store.categories, run.confusion
    whole = Markup(figures.confusion(counts, names, f"Confusion of {run.name}"))
    if len(names) <= figures.MOST_AT_A_GLANCE:
        return [("all categories", whole, min(MATRIX, BESIDE + ROOMY * len(names)))]
    wrong = counts + counts.T
    np.fill_diagonal(wrong, 0)
    most = np.sort(np.argsort(-wrong.sum(axis=1), kind="stable")[: figures.MOST_AT_A_GLANCE - 20])
    some = figures.confusion(
        counts[np.ix_(most, most)], [names[label] for label in most], "The most confused categories"
    )
    return [
        (f"the {len(most)} categories with most mistakes", Markup(some), MATRIX),
        (f"all {len(names)}", whole, max(MATRIX, CELL * len(names))),
    ]


def group(run: Run, labels: Sequence[int]) -> dict[str, Any]:
    """One confusion group: of each member its most frequent mistake, with drawings (Figure 11)."""
    names, guess = run.store.categories, run.said["top"][:, 0]
    rows = []
    for label, other, count in statistics.worst_pairs(run.confusion[np.ix_(labels, labels)]):
        label, other = labels[label], labels[other]
        places = np.flatnonzero((run.said["label"] == label) & (guess == other))
        rows.append(
            {
                "label": names[label],
                "guess": names[other],
                "count": count,
                "of": int(run.confusion[label].sum()),
                "drawings": [(drawing, "") for drawing in run.drawn(run.surest(places, SHOWN))],
            }
        )
    return {"names": [names[label] for label in labels], "rows": rows}


def worst(run: Run) -> list[tuple[Markup, str]]:
    """The mistakes the network is surest of, among which wrong labels stand."""
    sure = run.surest(np.flatnonzero(~run.hit), WORST)
    names = run.store.categories
    told = [
        f"{names[run.said['label'][place]]}: {names[run.said['top'][place, 0]]} "
        f"{run.said['probability'][place, 0]:.0%}"
        for place in sure
    ]
    return list(zip(run.drawn(sure), told, strict=True))


def parts(run: Run) -> list[dict[str, Any]]:
    """Accuracy of some of the test drawings: by filter, by `recognized`, by country.

    Those that do not tell are parts as well: they may be easier or harder than the rest.
    """
    store, rows = run.store, run.said["row"]
    keep = noise.keep_mask(store.entropy, store.label, run.config.data.noise)[rows]
    recognized, country = store.recognized[rows], store.country[rows]
    wanted = [
        ("kept by the entropy filter", keep),
        ("dropped by it", ~keep),
        ("recognized by the game", recognized == 1),
        ("not recognized", recognized == 0),
        ("not known whether recognized", recognized < 0),
    ]
    most = explore.countries(country)[:COUNTRIES]
    wanted += [(f"from {code}", country == code.encode("ascii", "replace")) for code, _ in most]
    wanted.append(("from no known country", country == b""))
    return [
        {
            "name": name,
            "map3": asdict(statistics.estimate(run.score[inside])),
            "accuracy": asdict(statistics.estimate(run.hit[inside])),
            "drawings": int(inside.sum()),
        }
        for name, inside in wanted
        if inside.any()
    ]


def known(run: Run) -> dict[str, int]:
    """How many of the test drawings tell whether they were recognized, and their country."""
    rows = run.said["row"]
    return {
        "drawings": len(rows),
        "recognized": int((run.store.recognized[rows] >= 0).sum()),
        "country": int((run.store.country[rows] != b"").sum()),
    }


def facts(run: Run) -> list[tuple[str, str]]:
    """What one must know to read the figures."""
    counts = run.store.manifest.counts
    made_up = run.config.data.store is None
    libraries = ("dsnjax", "jax", "flax", "optax", "numpy")
    members = batches.rows(run.store, run.config.data)
    counted = {split: len(rows) for split, rows in members.items()}
    left_out = len(run.store) - sum(counted.values())
    weights = sum(network.count(run.config, len(run.store.categories)).values())
    return [
        ("work directory", str(run.workdir.path)),
        ("drawings", "made-up ones" if made_up else str(run.store.path)),
        ("rows of the store", f"{len(run.store):,} kept of {counts.rows:,} read"),
        ("training and validation drawings", f"{counted['train']:,} and {counted['valid']:,}"),
        ("test drawings", f"{run.figures['drawings']:,}"),
        ("in no split: filtered, or not listed", f"{left_out:,}"),
        ("protocol", run.figures["protocol"]),
        ("best step", f"{run.figures['step']:,}"),
        ("temperature", f"{run.figures['calibration']['temperature']:.3f}"),
        ("seed", str(run.config.seed)),
        ("weights", f"{weights:,}"),
        ("cost of the steps", cost(run)),
        ("versions, when this page was made", ", ".join(f"{n} {version(n)}" for n in libraries)),
    ]


def cost(run: Run) -> str:
    """How long the steps of all epochs took, and how many drawings they were shown."""
    seconds = curves.seconds(run.lines, run.config.data.batch_size)
    if not seconds:
        return "not told"
    shown = run.lines[-1]["step"] * run.config.data.batch_size
    return f"{seconds / 60:,.1f} min, {shown:,} drawings, {shown / seconds:,.0f} a second"
