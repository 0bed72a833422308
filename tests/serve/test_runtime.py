"""What runs models in browsers: fetched by one command, and only as it was tested."""

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import hatchling.build
import pytest

from dsnjax import main
from dsnjax.serve import runtime

ROOT = Path(__file__).parents[2]
FILES = {name: name.encode() * 10 for name in runtime.FILES}


def package(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return str(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the files go; the checksums are those of FILES."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    monkeypatch.setattr(runtime, "FOLDER", tmp_path / "ort")
    monkeypatch.setattr(runtime, "SHA256", sums)
    return tmp_path / "ort"


def test_the_files_come_out_of_the_package(folder, tmp_path, capsys):
    source = package(tmp_path / "a.tgz", FILES | {"more.js": b"x"})
    assert not runtime.there()
    assert main.main(["runtime", "--source", source]) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert runtime.there()
    # All is there: nothing is read again.
    assert main.main(["runtime", "--source", "nowhere.tgz"]) == 0


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"ort.wasm.min.mjs": b"another"}, 3, "ort.wasm.min.mjs is not that of version"),
        (None, 3, "not the package onnxruntime-web"),
    ],
)
def test_another_package_is_refused_and_leaves_nothing(
    folder, tmp_path, capsys, change, code, message
):
    source = package(tmp_path / "a.tgz", FILES | change if change else {"x": b"x"})
    assert main.main(["runtime", "--source", source]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize("source", ["nowhere.tgz", "http://127.0.0.1:9/a.tgz"])
def test_a_package_that_cannot_be_had_is_one_line(folder, capsys, source):
    assert main.main(["runtime", "--source", source]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dsnjax: runtime: {source}: ")
    assert error.count("\n") == 1


def test_without_npm_the_way_out_is_named(folder, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main.main(["runtime"]) == 2
    assert "no npm here; give the package: --source" in capsys.readouterr().err


def test_the_repository_does_not_hold_it_and_the_wheel_does(tmp_path, monkeypatch):
    if not runtime.there():
        pytest.skip(f"no browser runtime: {runtime.MISSING}")
    held = subprocess.run(
        ["git", "ls-files", runtime.FOLDER], cwd=ROOT, capture_output=True, text=True
    )
    assert held.stdout == ""
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / hatchling.build.build_wheel(str(tmp_path))) as wheel:
        names = set(wheel.namelist())
    assert {f"dsnjax/serve/page/ort/{name}" for name in runtime.FILES} <= names
    assert {"dsnjax/serve/page/index.html", "dsnjax/serve/page/main.js"} <= names
