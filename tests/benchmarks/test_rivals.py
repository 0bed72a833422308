"""That rivals do the same work as dsnjax: who does less wins no race."""

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

import raster
from dsnjax import config
from dsnjax.data import batches, formats, prepare
from dsnjax.data.store import Store

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
bench_data, bench_loader, gates, paper, rivals, sources = map(
    importlib.import_module,
    ("bench_data", "bench_loader", "gates", "paper", "rivals", "sources"),
)

DATA = config.Data(batch_size=16, image_size=48, length=24, threads=0)


@pytest.fixture(scope="module")
def store(made_up):
    return Store.open(made_up)


@pytest.fixture(scope="module")
def rows(store):
    return np.arange(0, len(store), 5)


@pytest.mark.parametrize("kind", ["array_record", "arrow"])
def test_other_stores_give_the_same_drawings(store, rows, kind, tmp_path):
    pytest.importorskip({"array_record": "array_record", "arrow": "pyarrow"}[kind])
    read = getattr(rivals, kind)(store.take(rows), tmp_path / "drawings")
    wanted = np.array([7, 0, 7, 31])
    assert read(wanted).unpack() == store.take(rows[wanted]).unpack()


def test_pytorchs_way_gives_our_sequences_and_nearly_our_images(store, rows):
    pytest.importorskip("torch")
    drawn = rivals.Drawings(store, rows, DATA)
    ours = batches.draw(store, rows, DATA)
    for row in range(16):
        theirs = drawn[row]
        np.testing.assert_allclose(theirs["points"], ours["points"][row], atol=1e-6)
        assert (theirs["length"], theirs["label"]) == (ours["length"][row], ours["label"][row])
        # OpenCV's antialiased lines are thicker than they should be, but lie in the same place.
        inked = ours["image"][row] > 100
        assert (theirs["image"][inked] > 80).mean() > 0.99


@pytest.mark.parametrize("loader", ["torch_loader", "grain_loader"])
def test_other_loaders_give_batches_of_the_same_shapes(store, rows, loader):
    pytest.importorskip(loader.partition("_")[0])
    one, other = itertools.islice(getattr(rivals, loader)(store, rows, DATA), 2)
    ours = batches.draw(store, rows[:16], DATA)
    for name in ("image", "points", "length", "label"):
        assert np.shape(one[name]) == np.shape(ours[name])
    assert not np.array_equal(one["image"], other["image"])


def test_the_papers_way_gives_the_entropies_of_our_recipe(tmp_path):
    pytest.importorskip("cv2")
    pytest.importorskip("pandas")
    found = sources.rows(None, 32)
    entropies, kept = paper.filtered(bench_data.kaggle(found, tmp_path / "cat.csv"))
    packed = raster.pack([row["drawing"] for row in found])
    ours = raster.entropy(raster.render(packed, recipe="paper"))
    np.testing.assert_allclose(entropies, ours, atol=0.02)
    assert 24 < kept.sum() < 32


def test_every_form_holds_the_same_drawings(tmp_path):
    found = [row | {"key_id": str(i)} for i, row in enumerate(sources.rows(None, 16), 1)]
    file = bench_data.ndjson(found, tmp_path / "cat.ndjson")
    forms = [
        file,
        bench_data.compressed(file),
        bench_data.kaggle(found, tmp_path / "cat.csv"),
        bench_data.binary(found, tmp_path / "cat.bin"),
    ]
    for form in forms:
        read = [one for one in formats.read([form]) if isinstance(one, formats.Drawing)]
        assert [[list(map(list, s)) for s in one.drawing] for one in read] == [
            row["drawing"] for row in found
        ]
        assert [str(one.key_id) for one in read] == [row["key_id"] for row in found]


def test_tiled_rows_are_no_duplicates(tmp_path):
    tiles = bench_data.tiled([row | {"word": "cat"} for row in sources.rows(None, 16)], 100)
    file = bench_data.ndjson(tiles, tmp_path / "cat.ndjson")
    counts = prepare.prepare([file], tmp_path / "store", jobs=1).manifest.counts
    assert (counts.rows, counts.kept) == (100, 100)


def test_a_tiled_store_is_whole_and_has_the_drawings_of_its_base(store, tmp_path):
    count = 2 * len(store) + 7
    sources.tiled(store, count, tmp_path / "tiled")
    tiled = Store.open(tmp_path / "tiled")
    tiled.verify()
    assert len(tiled) == count == sum(tiled.manifest.drawings)
    assert len(np.unique(tiled.key_id)) == count
    last = np.arange(2 * len(store), count)
    assert tiled.take(last).unpack() == store.take(np.arange(7)).unpack()
    assert np.array_equal(np.bincount(tiled.label), tiled.manifest.drawings)


def test_the_bare_loop_makes_what_the_loader_makes(store):
    batch = bench_loader.bare(store, np.arange(len(store)))()
    ours = batches.draw(store, np.arange(256), bench_loader.PLAIN)
    assert {name: np.shape(part) for name, part in batch.items()} | {"mask": (256,)} == {
        name: np.shape(part) if name != "image" else (256, 96, 96) for name, part in ours.items()
    }


def test_a_missing_rival_is_left_out_and_what_to_install_is_said(capsys):
    def make():
        raise ImportError("No module named 'torch'")

    assert gates.rival("torch", make) is None
    assert "pip install torch" in capsys.readouterr().out
