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


@pytest.mark.real
def test_it_names_real_drawings_that_it_was_not_trained_on(recognizer, quickdraw, tmp_path):
    names = ("cactus", "eye", "fork", "radio", "snowman", "van")
    store = prepare.prepare([quickdraw], tmp_path / "store", names, jobs=1).store
    drawings = Store.open(store)
    held_out = batches.rows(drawings, recognizer.bundle.recipe.data)["test"]
    chances = recognizer.probabilities(drawings.take(held_out))
    label = [recognizer.categories.index(names[code]) for code in drawings.label[held_out]]
    best = np.argsort(-chances, axis=1)[:, :3]
    map3 = ((best == np.array(label)[:, None]) @ (1 / np.arange(1, 4))).mean()
    assert len(held_out) > 500
    assert map3 > 0.9
