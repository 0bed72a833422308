import json

import pytest

from dsnjax.data import parquet, prepare
from dsnjax.data.store import Store

CATS = [[[[0, 255], [1, 2]]], [[[9], [9]], [[1, 2, 3], [4, 5, 6]]], [[[7, 7], [8, 8]]]]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Three cats written in two row groups and read by pyarrow."""
    pyarrow_parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "GROUP", 2)
    known = {"key_id": "77", "countrycode": "DE", "recognized": False}
    rows = [dict(drawing=cat, **(known if i == 1 else {})) for i, cat in enumerate(CATS)]
    (tmp_path / "cat.ndjson").write_text("\n".join(map(json.dumps, rows)))
    prepare.prepare([tmp_path / "cat.ndjson"], tmp_path / "s", "cat", jobs=1)
    parquet.write(Store.open(tmp_path / "s"), tmp_path / "cats.parquet")
    return pyarrow_parquet.read_table(tmp_path / "cats.parquet")


def test_drawings_come_out_in_the_form_of_the_ndjson_files(table):
    assert table.column("drawing").to_pylist() == CATS


def test_what_is_not_known_is_null(table):
    assert table.column("word").to_pylist() == ["cat"] * 3
    assert table.column("key_id").to_pylist() == [None, 77, None]
    assert table.column("countrycode").to_pylist() == [None, "DE", None]
    assert table.column("recognized").to_pylist() == [None, False, None]
