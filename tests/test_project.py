"""What a stranger relies on before the first drawing: environments, versions, the wheel."""

import os
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import hatchling.build
import pytest
import yaml
from packaging.requirements import Requirement

import dsnjax

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture
def make():
    """Runs make with words and gives (exit code, standard output, standard error)."""
    if not shutil.which("make"):
        pytest.skip("no make on this machine")
    # Under `make test` these would hand the outer make's own settings down.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def run(*words: str) -> tuple[int, str, str]:
        command = ["make", *words]
        done = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


def interpreter(folder: Path, script: str) -> str:
    """Something that answers like a Python when asked for its version."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_make_alone_lists_what_it_can_do(make):
    code, said, _ = make()
    assert code == 0
    assert [line.split()[1] for line in said.splitlines() if line.startswith("make")] == [
        "quickstart",
        "test",
        "lint",
        "install",
        "clean",
    ]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 127", "does not run"),
        ("printf 3.10", "3.10"),
        ("printf 3.14", "3.14"),
        ("printf 3.12; exit 1", "3.12 without venv"),
    ],
)
def test_make_says_why_an_interpreter_will_not_do(make, tmp_path, script, why):
    python = interpreter(tmp_path, script)
    code, said, error = make("install", f"PYTHON={python}")
    assert (code, said) == (2, "")
    assert error.startswith(
        f"dsnjax needs Python 3.11, 3.12 or 3.13 with venv, but found: {python} ({why});\n"
        "install one (on Debian python3-venv as well), or: make install PYTHON=path\n"
    )


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_every_dependency_has_one_exact_version_within_its_bounds(python):
    here = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": "linux",
    }
    pins = [Requirement(line) for line in CONSTRAINTS]
    exact = {
        pin.name.lower(): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(here)
    }
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]:
        wanted = Requirement(text)
        if wanted.name == "dsnjax":  # an extra made of others
            continue
        assert wanted.specifier.contains(exact[wanted.name.lower()]), text


def test_constraints_name_versions_and_no_addresses():
    assert [line for line in CONSTRAINTS if "==" not in line or "/" in line or "@" in line] == []


def test_the_wheel_holds_both_packages_and_the_presets_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wheel = hatchling.build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(tmp_path / wheel) as opened:
        names = opened.namelist()
    assert {name.partition("/")[0] for name in names} == {
        "dsnjax",
        "raster",
        f"dsnjax-{dsnjax.__version__}.dist-info",
    }
    presets = {file.relative_to(ROOT) for file in (ROOT / "configs").rglob("*") if file.is_file()}
    assert {f"dsnjax/{preset.as_posix()}" for preset in presets} <= set(names)
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names if "/licenses/" in name}


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    paper = citation["preferred-citation"]
    assert paper["title"] == "Deep Sketch Network for Million-scale Sketch Recognition"
    assert [author["family-names"] for author in paper["authors"]] == ["Xu", "Xia", "Zhang"]


def test_the_notice_credits_the_drawings():
    notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
    assert "made available by Google, Inc. under the Creative Commons Attribution 4.0" in notice
