import json

import numpy as np
import pytest
from PIL import Image

import raster
from dsnjax import draw, pictures
from dsnjax.data import formats
from dsnjax.errors import DataError, UserError

CAT = [[[0, 100, 255], [0, 30, 255]], [[7, 9], [3, 200]]]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_text(
        json.dumps({"key_id": "12", "drawing": CAT}) + "\n{\n" + json.dumps({"drawing": CAT})
    )
    return path


def test_a_picture_of_each_drawing_is_what_a_network_is_shown(file, tmp_path):
    assert draw.draw([file], tmp_path / "out", "png", 96) == (2, 1)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["12.png", "3.png"]
    image = np.asarray(Image.open(tmp_path / "out" / "12.png"))
    np.testing.assert_array_equal(image, raster.render(raster.pack([CAT]), 96, 2.0)[0])


def test_no_picture_takes_the_place_of_another(file, tmp_path):
    (tmp_path / "b.ndjson").write_text(json.dumps({"key_id": "3", "drawing": CAT[:1]}))
    assert draw.draw([file, file, tmp_path / "b.ndjson"], tmp_path / "out", "svg", 96) == (5, 2)
    names = ["12-2.svg", "12.svg", "3-2.svg", "3.svg", "6.svg"]
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == names
    assert (tmp_path / "out" / "3.svg").read_text().count("<path") == 2


def test_an_svg_is_read_again_as_the_drawing_it_shows(file, tmp_path):
    draw.draw([file], tmp_path / "out", "svg", 300)
    text = (tmp_path / "out" / "12.svg").read_text()
    assert 'width="300" height="300"' in text
    (again,) = formats.read([tmp_path / "out" / "12.svg"])
    assert isinstance(again, formats.Drawing)
    assert again.drawing == [(xs, ys) for xs, ys in raster.simplify(CAT)]


def test_one_sheet_shows_all(file, tmp_path):
    assert draw.draw([file], tmp_path / "new" / "all.png", "png", 64) == (2, 1)
    with Image.open(tmp_path / "new" / "all.png") as page:
        assert page.height == 64 + pictures.LINE


def test_a_sheet_holds_no_more_than_programs_open(file, tmp_path, monkeypatch):
    assert (pictures.most(96), pictures.most(256)) == (8420, 1280)
    monkeypatch.setattr(pictures, "LARGEST", pictures.COLUMNS * 96 * 110)
    assert draw.draw([file] * 5, tmp_path / "all.png", "png", 96) == (10, 5)
    with pytest.raises(UserError, match=r"a sheet holds 10 drawings of --size 96; give fewer, a "):
        draw.draw([file] * 6, tmp_path / "more.png", "png", 96)
    assert not (tmp_path / "more.png").exists()


def test_what_cannot_be_drawn_is_said(file, tmp_path):
    with pytest.raises(UserError, match=r"a sheet is a png; name a folder for svg"):
        draw.draw([file], tmp_path / "all.png", "svg", 64)
    file.write_text("{")
    with pytest.raises(DataError, match=r"a\.ndjson:1: truncated"):
        draw.draw([file], tmp_path / "out", "png", 64)
