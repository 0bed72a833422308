from itertools import islice

import numpy as np
import pytest

import raster
from dsnjax.compiled import Compiled
from dsnjax.data import formats
from dsnjax.export import parity
from dsnjax.predict import Recognizer


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer()


def alike(recognizer: Recognizer, packed: raster.Packed) -> None:
    """Both name the same three in the same order; only what is as probable may change places."""
    said, known = (one.probabilities(packed) for one in (recognizer, Compiled(recognizer.bundle)))
    np.testing.assert_allclose(said, known, atol=1e-4)
    best = np.argsort(-said, axis=1)[:, :3]
    expected = -np.sort(-known, axis=1)[:, :3]
    np.testing.assert_allclose(np.take_along_axis(known, best, axis=1), expected, atol=1e-5)


def test_jax_names_made_up_drawings_as_onnxruntime_does(recognizer):
    alike(recognizer, parity.made_up().packed)


@pytest.mark.real
def test_jax_names_real_drawings_as_onnxruntime_does(recognizer, quickdraw):
    files = [quickdraw / "full" / "simplified" / f"{name}.ndjson" for name in ("cat", "eye")]
    rows = [row for file in files for row in islice(formats.read([file]), 200)]
    drawings = [row.drawing for row in rows if isinstance(row, formats.Drawing)]
    assert len(drawings) == 400
    alike(recognizer, raster.pack(drawings))


def test_no_drawings_have_no_logits(recognizer):
    assert Compiled(recognizer.bundle).logits(raster.pack([])).shape == (0, 40)
