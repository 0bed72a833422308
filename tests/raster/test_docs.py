import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "raster.md"


@pytest.mark.real
def test_the_code_in_the_docs_makes_their_pictures(quickdraw, tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.setenv("DSNJAX_QUICKDRAW", str(quickdraw))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs" / "images"
    folder.mkdir(parents=True)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})
    shown = set(re.findall(r"images/(raster-[a-z]+\.png)", text))
    assert {file.name for file in folder.iterdir()} == shown
    assert {file.name for file in (PAGE.parent / "images").glob("raster-*.png")} == shown
