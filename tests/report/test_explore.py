"""What a store's page shows, from a store made by hand."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import raster
from dsnjax.config import Noise
from dsnjax.report import explore

COUNT = 40
ENTROPY = np.linspace(1, 2, COUNT)
COUNTRY = np.array([b"US"] * 20 + [b"DE"] * 10 + [b"FR"] * 9 + [b""])
STORE = SimpleNamespace(
    categories=("cat",),
    label=np.zeros(COUNT, int),
    entropy=ENTROPY,
    country=COUNTRY,
    recognized=np.array([1, 1, 0] + [-1] * (COUNT - 3)),
    take=lambda rows: raster.pack([[[[0, row], [0, 0]]] for row in rows]),
)
ROWS = np.arange(COUNT)


def rows_of(items):
    """The rows of drawings that are shown: each is a line as long as its row."""
    return [int(re.findall(r"l(\d+)\+0", drawing)[0]) for drawing, _ in items]


def test_a_category_shows_what_the_filter_drops_on_either_side():
    told = explore.filtered(STORE, 0, ROWS, Noise())
    assert rows_of(told["below"]) == [0, 1]
    assert rows_of(told["above"]) == [38, 39]
    kept = rows_of(told["kept"])
    assert len(set(kept)) == explore.EXAMPLES
    assert all(2 <= row < 38 for row in kept)
    assert told["below"][1][1] == "1.03 bits"


def test_the_cuts_of_a_category_are_told_with_what_they_drop():
    told = explore.dropped(ENTROPY, Noise())
    assert told == {"cut_below": 1.05, "cut_above": 1.95, "dropped": 4}
    few = explore.dropped(ENTROPY[:5], Noise())
    assert few == {"cut_below": None, "cut_above": None, "dropped": 0}


def test_styles_are_of_countries_with_enough_drawings():
    told = explore.styles(STORE, 0, ROWS)
    assert told
    assert [code for code, _ in told["countries"]] == ["US", "DE"]
    american, german = (rows_of(items) for _, items in told["countries"])
    assert len(set(american)) == explore.SHOWN
    assert max(american) < 20
    assert german == list(range(20, 30))
    assert explore.styles(STORE, 0, ROWS[:29]) is None


@pytest.mark.parametrize(("rows", "share"), [(ROWS, 0.6667), (ROWS[3:], None)])
def test_a_share_is_of_the_drawings_that_tell(rows, share):
    told = explore.about(STORE, 0, rows, np.arange(COUNT), np.ones(COUNT))
    assert told["recognized"] == share
    assert told["median_points"] == np.median(rows)
