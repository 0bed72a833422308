"""The numbers of a page, from runs made by hand."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.errors import UserError
from dsnjax.report import curves, figures, run, runs
from dsnjax.workdir import Workdir

NAMES = ("cat", "dog", "cup")
LABEL = np.array([0, 0, 1, 1, 2, 2])
TOP = np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1], [0, 2, 1], [2, 0, 1], [0, 1, 2]])
RANK = np.array([0, 1, 2, 2, 0, 2])
SURE = np.array([0.9, 0.6, 0.7, 0.8, 0.5, 0.4])
ENTROPY = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])


def made(name="one", categories=NAMES, **said):
    """A run of six test drawings, each a line as long as its row."""
    drawings = [[[[0, 10 * row], [0, 0]]] for row in range(6)]
    store = SimpleNamespace(
        categories=categories,
        label=LABEL,
        entropy=ENTROPY,
        recognized=np.array([1, 0, 1, -1, -1, -1], np.int8),
        country=np.array([b"US", b"DE", b"US", b"", b"", b""]),
        take=lambda rows: raster.pack([drawings[row] for row in rows]),
    )
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (LABEL, TOP[:, 0]), 1)
    per_category = {name: {"map3": 0.5, "accuracy": 0.5, "drawings": 2} for name in NAMES}
    answers = {
        "row": np.arange(6),
        "hash": np.arange(6, dtype=np.uint64),
        "label": LABEL,
        "rank": RANK,
        "top": TOP,
        "probability": np.stack([SURE, 1 - SURE, 0 * SURE], axis=1),
    }
    told = {"confusion": confusion.tolist(), "per_category": per_category}
    workdir = Workdir(Path(name))
    return run.Run(name, workdir, config.Config(), store, told, answers | said)


def rows_of(shown):
    """The rows of drawings that are shown, which are as long."""
    return [int(re.findall(r"l(\d+)\+0", drawing)[0]) // 10 for drawing, _ in shown]


def figures_of(rows):
    return {
        one["name"]: (round(one["map3"]["value"], 3), one["accuracy"]["value"], one["drawings"])
        for one in rows
    }


def test_parts_of_the_test_drawings_have_their_own_figures(monkeypatch):
    keep = np.array([True, True, True, True, False, False])
    monkeypatch.setattr(runs.noise, "keep_mask", lambda *given: keep)
    third = 1 / 3
    assert figures_of(runs.parts(made())) == {
        "kept by the entropy filter": (round((1.5 + 2 * third) / 4, 3), 0.25, 4),
        "dropped by it": (round((1 + third) / 2, 3), 0.5, 2),
        "recognized by the game": (round((1 + third) / 2, 3), 0.5, 2),
        "not recognized": (0.5, 0.0, 1),
        "not known whether recognized": (round((1 + 2 * third) / 3, 3), 1 / 3, 3),
        "from US": (round((1 + third) / 2, 3), 0.5, 2),
        "from DE": (0.5, 0.0, 1),
        "from no known country": (round((1 + 2 * third) / 3, 3), 1 / 3, 3),
    }


def test_a_part_is_of_the_rows_that_were_tested():
    some = {name: column[:3] for name, column in made().said.items()}
    some["row"] = np.array([5, 4, 0])
    found = figures_of(runs.parts(made(**some)))
    assert found["recognized by the game"] == (0.333, 0.0, 1)
    assert "not recognized" not in found
    assert runs.known(made(**some)) == {"drawings": 3, "recognized": 1, "country": 1}


def test_a_group_shows_the_surest_drawings_of_each_mistake():
    group = runs.group(made(), [0, 1])
    assert group["names"] == ["cat", "dog"]
    (row,) = group["rows"]
    assert [row[name] for name in ("label", "guess", "count", "of")] == ["dog", "cat", 2, 2]
    assert rows_of(row["drawings"]) == [3, 2]


def test_the_surest_mistakes_come_first():
    shown = runs.worst(made())
    assert [caption for _, caption in shown] == [
        "dog: cat 80%",
        "dog: cat 70%",
        "cat: dog 60%",
        "cup: cat 40%",
    ]
    assert rows_of(shown) == [3, 2, 1, 5]


def test_runs_are_compared_over_the_drawings_that_both_saw():
    first = made()
    better = made("two", rank=np.array([0, 0, 0, 2, 0, 2]))
    seen = {name: column[1:5] for name, column in better.said.items()}
    told = runs.compare(first, replace(better, said=seen))
    assert (told["first"], told["other"], told["drawings"]) == ("one", "two", 4)
    assert told["map3"]["value"] == pytest.approx((0.5 + 2 / 3) / 4)
    assert told["accuracy"]["value"] == 0.5
    assert told["mcnemar_p"] == 0.5


def test_the_categories_that_differ_most_come_first():
    first = made()
    better = made("two", rank=np.array([0, 0, 0, 2, 0, 2]))
    rows = runs.by_category(first, [better, first])
    told = [(row["category"], *(one["value"] for one in row["differences"])) for row in rows]
    assert told == [("dog", pytest.approx(1 / 3), 0), ("cat", 0.25, 0)]
    assert not runs.by_category(first, [first])
    assert not runs.by_category(first, [])


def test_runs_without_a_drawing_in_common_are_refused():
    other = made("two", hash=np.arange(6, 12, dtype=np.uint64))
    with pytest.raises(UserError, match=r"^one and two: no test drawing in common; want runs of"):
        runs.compare(made(), other)


def test_runs_of_other_categories_are_refused(monkeypatch, tmp_path):
    other = made("two", categories=("cat", "dog", "mug"))
    monkeypatch.setattr(runs, "load", {"one": made(), "two": other}.get)
    with pytest.raises(UserError, match=r"^two: other categories than one; runs are compared on"):
        runs.write(["one", "two"], tmp_path / "page.html")


def test_the_matrix_of_few_categories_is_small():
    ((_, _, pixels),) = runs.matrices(made(categories=("cat", "dog", "mug")))
    assert pixels == runs.BESIDE + 3 * runs.ROOMY < runs.MATRIX


def test_the_matrix_of_many_categories_comes_with_one_of_the_most_confused(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "confusion", lambda _, names, title: shown.append(names) or title)
    count = figures.MOST_AT_A_GLANCE + 1
    one = made(categories=tuple(f"name{n}" for n in range(count)))
    confusion = np.diag(np.full(count, 100))
    confusion[21:, 0] = 1  # of the categories 1 to 20 no drawing is in a mistake
    one.figures["confusion"] = confusion.tolist()
    told = [(name, pixels) for name, _, pixels in runs.matrices(one)]
    assert told == [
        ("the 40 categories with most mistakes", runs.MATRIX),
        ("all 61", max(runs.MATRIX, runs.CELL * 61)),
    ]
    whole, some = shown
    assert list(whole) == list(one.store.categories)
    assert some == ["name0", *(f"name{n}" for n in range(21, 60))]


LINES = [
    {"step": 10},
    {"step": 20, "drawings_per_second": 100},
    {"step": 40, "drawings_per_second": 200},
]


def test_the_time_of_the_steps_is_that_of_their_rates():
    assert curves.seconds(LINES, 12) == 3.2  # (1.2 + 1.2) s for 30 of 40 steps
    assert curves.seconds(LINES[:1], 12) is None


def test_the_cost_of_a_run_is_told_in_time_and_drawings():
    one = made()
    one.__dict__["lines"] = LINES
    assert runs.cost(one) == "1.1 min, 10,240 drawings, 150 a second"
    one.__dict__["lines"] = LINES[:1]
    assert runs.cost(one) == "not told"
