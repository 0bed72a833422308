"""A store in, a page that shows what lies in it out; or the entropy histogram of one category."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dsnjax import tracking
from dsnjax.config import Noise
from dsnjax.data import noise
from dsnjax.data.store import Store
from dsnjax.errors import UserError
from dsnjax.report import figures, page, strokes
from dsnjax.report.page import Markup
from dsnjax.settings import nearest

SHOWN = 10  # drawings in a row of them
EXAMPLES = 4  # drawings shown on either side of a cut
COUNTRIES = 5  # whose styles are shown for a category
STYLED = 6  # categories whose styles by country are shown
CHARTS = 9  # categories with an entropy histogram of their own
SEED = 0


def write(store: Store, dest: Path, rule: Noise, category: str | None = None) -> None:
    """Writes the page of a store, its numbers as JSON and per category as CSV beside it.

    Args:
        rule: the percentiles of the entropy filter to show.
        category: show this one's entropy and styles instead of a choice of categories.

    Raises:
        UserError: the store has no such category.
    """
    wanted = [label_of(store, category)] if category else list(range(len(store.categories)))
    by_label = np.split(np.argsort(store.label, kind="stable"), np.cumsum(sizes(store))[:-1])
    lengths, counts = np.diff(store.packed.index, axis=0).T
    rows = [
        about(store, label, by_label[label], lengths, counts)
        | dropped(store.entropy[by_label[label]], rule)
        for label in wanted
    ]
    largest = sorted(wanted, key=lambda label: -len(by_label[label]))
    held = np.concatenate([by_label[label] for label in wanted])
    numbers = {"store": str(store.path), "drawings": len(held), "categories": rows}
    numbers["countries"] = dict(countries(store.country[held]))
    page.table(dest.with_suffix(".csv"), rows)
    page.write(
        "store.html",
        dest,
        numbers,
        title=f"{store.path.resolve().name}: {category or 'drawings'}",
        credit=True,
        store=store.path,
        drawings=len(held),
        rows=rows,
        charts=charts(store, held, lengths, counts),
        countries=bars(list(numbers["countries"].items())),
        counts=bars([(row["category"], row["drawings"]) for row in rows]),
        sheet_items=contact(store, wanted, by_label, SHOWN if category else 1),
        noise=[filtered(store, label, by_label[label], rule) for label in largest[:CHARTS]],
        styles=list(
            islice(filter(None, (styles(store, one, by_label[one]) for one in largest)), STYLED)
        ),
        rule=rule,
        known=int((store.recognized[held] >= 0).sum()),
        recognized=int((store.recognized[held] == 1).sum()),
    )


def bars(counts: list[tuple[str, int]]) -> list[tuple[str, float, str]]:
    """Names with the length of their bar and its text, the most first."""
    most = max((count for _, count in counts), default=1)
    ranked = sorted(counts, key=lambda one: -one[1])
    return [(name, count / most, f"{count:,}") for name, count in ranked]


def contact(
    store: Store, wanted: Sequence[int], by_label: Sequence[np.ndarray], most: int
) -> list[tuple[Markup, str]]:
    """At most so many drawings of each category, with its name."""
    with tracking.bar("drawing", len(wanted)) as bar:
        return [
            (drawn(store, one), store.categories[label])
            for label in bar.watched(wanted)
            for one in chosen(by_label[label], most)
        ]


def entropy_figure(store: Store, category: str, dest: Path, rule: Noise) -> None:
    """Writes the entropy histogram of one category with the filter's cuts (the paper's Figure 5).

    Raises:
        UserError: the store has no such category, or `dest` is no SVG.
    """
    entropy = store.entropy[store.label == label_of(store, category)]
    cuts = noise.cuts(entropy, rule)
    figures.write(dest, figures.entropies(entropy, cuts, f"Entropy of {category}"))


def label_of(store: Store, category: str) -> int:
    """Position of a category. Raises UserError, with the nearest, where there is none."""
    if category not in store.categories:
        raise UserError(
            f"--category {category}: not in {store.path}{nearest(category, store.categories)}"
        )
    return store.categories.index(category)


def sizes(store: Store) -> np.ndarray:
    """Drawings of each category."""
    return np.bincount(store.label, minlength=len(store.categories))


def about(
    store: Store, label: int, rows: np.ndarray, lengths: np.ndarray, counts: np.ndarray
) -> dict[str, Any]:
    """The numbers of one category."""
    known = store.recognized[rows][store.recognized[rows] >= 0]
    medians = (lengths[rows], counts[rows], store.entropy[rows])
    points, drawn_strokes, bits = (
        round(float(np.median(one)), 3) if len(rows) else None for one in medians
    )
    return {
        "category": store.categories[label],
        "drawings": len(rows),
        "median_points": points,
        "median_strokes": drawn_strokes,
        "median_entropy": bits,
        "recognized": round(float(known.mean()), 4) if len(known) else None,
    }


def dropped(entropy: np.ndarray, rule: Noise) -> dict[str, Any]:
    """Where the entropy filter cuts one category, None where it does not, and what it drops."""
    low, high = noise.cuts(entropy, rule)
    return {
        "cut_below": round(low, 4) if np.isfinite(low) else None,
        "cut_above": round(high, 4) if np.isfinite(high) else None,
        "dropped": int(((entropy <= low) | (entropy >= high)).sum()),
    }


def charts(
    store: Store, held: np.ndarray, lengths: np.ndarray, counts: np.ndarray
) -> list[tuple[str, Markup]]:
    """Histograms over all drawings: (title, chart). Long tails are counted in the last bar."""
    wanted = (
        ("Points of a drawing", lengths[held], "points"),
        ("Strokes of a drawing", counts[held], "strokes"),
        ("Entropy of the images", store.entropy[held], "bits"),
    )
    return [
        (title, Markup(figures.histogram(values, title, label, float(np.quantile(values, 0.995)))))
        for title, values, label in wanted
    ]


def countries(column: np.ndarray) -> list[tuple[str, int]]:
    """Drawings of each country, the most first; those of no known one are left out."""
    codes, counts = np.unique(column[column != b""], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(bytes(codes[one]).decode("ascii", "replace"), int(counts[one])) for one in order]


def filtered(store: Store, label: int, rows: np.ndarray, rule: Noise) -> dict[str, Any]:
    """What the entropy filter does to one category: Figures 1, 2 and 5 of the paper."""
    entropy = store.entropy[rows]
    low, high = noise.cuts(entropy, rule)
    order = rows[np.argsort(entropy, kind="stable")]
    ascending = np.sort(entropy)
    below, above = order[ascending <= low], order[ascending >= high]
    name = store.categories[label]
    return {
        "category": name,
        "chart": Markup(figures.entropies(entropy, (low, high), f"Entropy of {name}")),
        "below": shown(store, below),
        "kept": shown(store, order[(ascending > low) & (ascending < high)]),
        "above": shown(store, above),
    }


def shown(store: Store, rows: np.ndarray) -> list[tuple[Markup, str]]:
    """Some drawings with their entropies."""
    return [(drawn(store, row), f"{store.entropy[row]:.2f} bits") for row in chosen(rows, EXAMPLES)]


def styles(store: Store, label: int, rows: np.ndarray) -> dict[str, Any] | None:
    """Drawings of one category by country (Figures 3 and 4), None where too few tell theirs."""
    most = [code for code, count in countries(store.country[rows]) if count >= SHOWN][:COUNTRIES]
    if len(most) < 2:
        return None
    return {
        "category": store.categories[label],
        "countries": [
            (
                code,
                [
                    (drawn(store, row), "")
                    for row in chosen(rows[store.country[rows] == code.encode()], SHOWN)
                ],
            )
            for code in most
        ],
    }


def chosen(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, the same ones each time."""
    if len(rows) <= most:
        return rows
    picked = np.random.default_rng(SEED).choice(len(rows), most, replace=False)
    return rows[np.sort(picked)]


def drawn(store: Store, row: int) -> Markup:
    """One drawing as SVG."""
    return strokes.svg(store.take(np.array([row])).unpack()[0])
