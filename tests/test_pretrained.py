import re

import numpy as np
import pytest

from dsnjax import bundle
from dsnjax.data import batches, categories, prepare
from dsnjax.data.store import Store
from dsnjax.predict import Recognizer


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer()


def test_the_model_that_ships_is_small_and_knows_the_benchmark_categories(recognizer):
    files = list(bundle.PRETRAINED.iterdir())
    assert sum(file.stat().st_size for file in files) <= 2 << 20
    assert recognizer.categories == categories.read("quickdraw40")


def test_it_knows_a_circle_and_a_smiley(recognizer):
    """Drawn as a mouse draws them, and simplified as what it learnt from was."""
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = [(300 + 250 * f(angle)).tolist() for f in (np.cos, np.sin)]
    half = np.linspace(0.15 * np.pi, 0.85 * np.pi, 60)
    mouth = [(300 + 150 * f(half)).tolist() for f in (np.cos, np.sin)]
    eyes = [[[215, 217], [205, 235]], [[385, 383], [205, 235]]]
    plain, smiling = recognizer.predict([[ring], [ring, *eyes, mouth]], fit=True)
    assert plain[0]["category"] == "circle"
    assert "smiley face" in [one["category"] for one in smiling]


@pytest.mark.slow
@pytest.mark.real
def test_it_reaches_what_its_card_says(recognizer, quickdraw, tmp_path):
    """Its weights are half as wide as those that the card's figures were measured with."""
    store = Store.open(prepare.prepare([quickdraw], tmp_path / "store", "quickdraw40").store)
    held_out = batches.rows(store, recognizer.bundle.recipe.data)["test"]
    card = (bundle.PRETRAINED / "README.md").read_text()
    if f"| {len(held_out):,} drawings of the test split |" not in card:
        pytest.skip("other drawings than those of the card")
    chances = recognizer.probabilities(store.take(held_out))
    best = np.argsort(-chances, axis=1)[:, :3]
    map3 = ((best == store.label[held_out, None]) @ (1 / np.arange(1, 4))).mean()
    (told,) = re.findall(r"\| MAP@3 \| (.*) \|", card)
    assert map3 == pytest.approx(float(told), abs=5e-4)
