import json
from pathlib import Path

import numpy as np
import pytest

import raster
from dsnjax.data import join, prepare
from dsnjax.data.store import COLUMNS, OPTIONAL, Store
from dsnjax.errors import DataError, UserError

CATS = [[[[0, 255], [0, 255]]], [[[9], [9]], [[1, 2, 3], [4, 5, 6]]], [[[7, 7], [8, 8]]]]
DOG = [[[255, 0], [0, 255]]]


@pytest.fixture
def path(tmp_path):
    """A store of three cats, the second with all its fields, and a dog."""
    known = {"key_id": "77", "countrycode": "DE", "recognized": False}
    rows = [dict(drawing=cat, **(known if i == 1 else {})) for i, cat in enumerate(CATS)]
    (tmp_path / "cat.ndjson").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "dog.ndjson").write_text(json.dumps({"drawing": DOG, "recognized": True}))
    prepare.prepare([tmp_path], tmp_path / "store", "cat,dog", jobs=1)
    return tmp_path / "store"


def test_store_gives_back_the_drawings_and_what_is_known_about_them(path):
    store = Store.open(path)
    assert len(store) == 4 and store.categories == ("cat", "dog")
    assert store.packed.unpack() == [*CATS, DOG]
    assert store.take(np.array([3, 1])).unpack() == [DOG, CATS[1]]
    assert store.label.tolist() == [0, 0, 0, 1]
    assert store.key_id.tolist() == [0, 77, 0, 0]
    assert store.country.tolist() == [b"", b"DE", b"", b""]
    assert store.recognized.tolist() == [-1, 0, -1, 1]
    assert store.manifest.drawings == (3, 1)
    store.verify()


def test_entropy_can_be_measured_again_with_the_recipe_in_the_manifest(path):
    store = Store.open(path)
    images = raster.render(store.packed, **store.manifest.entropy)  # type: ignore
    assert np.array_equal(raster.entropy(images), store.entropy)
    assert store.manifest.entropy["size"] == 96


def test_hash_is_of_the_key_id_or_else_of_the_strokes(path):
    store = Store.open(path)
    assert store.hash[1] == join.mix(np.array([77], np.uint64))[0]
    assert len(set(store.hash.tolist())) == 4


def test_columns_are_read_without_dsnjax_as_the_page_says(path):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0].replace("S/", f"{path}/")
    names: dict = {"i": 1}
    exec(code, names)
    assert [stroke.T.tolist() for stroke in names["strokes"]] == CATS[1]


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - set(OPTIONAL)))
def test_a_flipped_bit_is_found_and_its_column_named(path, name):
    file = path / f"{name}.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 4
    file.write_bytes(data)
    with pytest.raises(DataError, match=rf"{name}\.npy: .*; delete the store"):
        Store.open(path).verify()


def test_a_column_of_the_manifest_without_a_file_is_no_sound_store(path):
    text = json.loads((path / "manifest.json").read_text())
    text["columns"]["mood"] = text["columns"]["label"]
    (path / "manifest.json").write_text(json.dumps(text))
    with pytest.raises(DataError, match=r"mood\.npy: cannot be read \(.*No such file.*prepare it"):
        Store.open(path).verify()


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - set(OPTIONAL)))
@pytest.mark.parametrize("keep", [0, 40, -1])
def test_a_column_cut_short_is_refused_at_once(path, name, keep):
    file = path / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{name}\.npy: cannot be read .* prepare it again"):
        Store.open(path)


def test_a_missing_column_and_one_of_another_size_are_refused(path):
    np.save(path / "label.npy", np.zeros(3, np.uint16))
    with pytest.raises(DataError, match=r"label\.npy: want \('<u2', \(4,\)\), got"):
        Store.open(path)
    (path / "label.npy").unlink()
    with pytest.raises(DataError, match=r"label\.npy: cannot be read"):
        Store.open(path)


def test_label_beyond_the_categories_is_refused(path):
    np.save(path / "label.npy", np.array([0, 0, 0, 2], np.uint16))
    with pytest.raises(DataError, match=r"label\.npy: label 2, but there are 2 categories"):
        Store.open(path)


def test_index_beyond_the_points_is_refused(path):
    index = np.load(path / "index.npy")
    index[-1, 0] += 1
    np.save(path / "index.npy", index)
    with pytest.raises(DataError, match=r"index\.npy: does not end where the points"):
        Store.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": "x"}', "\xff"])
def test_damaged_manifest_is_refused(path, text):
    (path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"manifest\.json: not a manifest .* prepare it again"):
        Store.open(path)


def test_manifest_from_before_a_count_was_kept_is_read(path):
    text = json.loads((path / "manifest.json").read_text())
    assert text["counts"].pop("backwards") == 0
    (path / "manifest.json").write_text(json.dumps(text))
    assert Store.open(path).manifest.counts.backwards == 0


def test_store_of_a_newer_version_is_refused(path):
    (path / "manifest.json").write_text('{"version": 9, "shape": "new"}')
    with pytest.raises(UserError, match="store of version 9, this dsnjax reads 1; install a newer"):
        Store.open(path)


def test_folder_without_a_store_is_named_with_the_way_to_make_one(tmp_path):
    with pytest.raises(UserError, match="no store here; make one with `dsnjax prepare SOURCE"):
        Store.open(tmp_path)
