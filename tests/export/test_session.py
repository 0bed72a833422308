import subprocess
import sys

import numpy as np
import onnx
import pytest

import raster
from dsnjax import bundle
from dsnjax.errors import CheckpointError, UserError
from dsnjax.export import onnx as to_onnx
from dsnjax.export.session import Session
from dsnjax.predict import Recognizer

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]
DOT = [[[7], [3]]]


@pytest.fixture(scope="module")
def recognizer(trained):
    return Recognizer(trained)


@pytest.fixture(scope="module")
def exported(recognizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    path.write_bytes(to_onnx.build(recognizer.bundle))
    return path


def test_a_session_names_drawings_as_the_recognizer_does(recognizer, exported):
    session = Session(exported)
    packed = raster.pack([CAT, DOT, *[CAT] * 300])
    np.testing.assert_allclose(
        session.probabilities(packed), recognizer.probabilities(packed), atol=1e-5
    )
    assert session.categories == recognizer.categories
    assert session.predict([]) == []
    said, known = session.predict([CAT], top=2)[0], recognizer.predict([CAT], top=2)[0]
    assert [one["category"] for one in said] == [one["category"] for one in known]


def test_batches_that_run_at_once_come_back_in_order(exported):
    packed = raster.pack([CAT, *[DOT] * 150, CAT])
    for one, other in zip(
        Session(exported, threads=3)(packed), Session(exported)(packed), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_attention_has_a_place_for_every_cell_and_step_and_sums_to_one(exported):
    session = Session(exported)
    _, attention = session(raster.pack([CAT, DOT]))
    rows, columns = session.about.grid
    assert attention is not None
    assert attention.shape == (2, rows * columns + 12)  # 24 points, two to a step
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-5)
    assert not attention[1, rows * columns + 1 :].any()


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file; make one: dsnjax export"):
        Session(tmp_path / "nothing.onnx")


@pytest.mark.fault
def test_a_damaged_file_is_refused(exported, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"cut\.onnx: onnxruntime cannot read it"):
        Session(tmp_path / "cut.onnx")


def test_a_model_of_a_later_opset_is_refused(exported):
    model = onnx.load(exported)
    model.opset_import[0].version = 900
    with pytest.raises(CheckpointError, match="onnxruntime cannot read it"):
        Session(model.SerializeToString())


def test_a_model_of_someone_else_is_refused(exported):
    model = onnx.load(exported)
    del model.metadata_props[:]
    with pytest.raises(UserError, match="not written by dsnjax"):
        Session(model.SerializeToString())


def test_a_session_starts_without_jax():
    code = "import sys; import dsnjax.export.session; print('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]


def test_the_model_that_ships_exports():
    model = bundle.read(bundle.PRETRAINED)
    (named,) = Session(to_onnx.build(model)).predict([CAT], top=50)
    assert {one["category"] for one in named} == set(model.categories)
