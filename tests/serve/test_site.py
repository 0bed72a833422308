import subprocess
import sys

import pytest

from dsnjax import bundle
from dsnjax.errors import UserError
from dsnjax.export.about import About
from dsnjax.serve import site


def test_a_site_wants_no_package_of_the_server():
    missing = ["prometheus_client", "starlette", "uvicorn"]
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import dsnjax.serve.site"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_site_has_every_file_of_the_page(tmp_path):
    site.write(b"onnx", About.of(bundle.read(bundle.PRETRAINED)), tmp_path)
    for file in site.PAGE.rglob("*"):
        copy = tmp_path / file.relative_to(site.PAGE)
        assert copy.is_dir() if file.is_dir() else copy.read_bytes() == file.read_bytes()
    assert (tmp_path / "model.onnx").read_bytes() == b"onnx"


@pytest.mark.fault
def test_a_site_cut_short_says_nothing_of_its_model(tmp_path):
    (tmp_path / "model.onnx").mkdir()  # which no file can take the place of
    with pytest.raises(UserError):
        site.write(b"onnx", About.of(bundle.read(bundle.PRETRAINED)), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert "index.html" in names
    assert not [name for name in names if name == "model.json" or name.endswith(".part")]
