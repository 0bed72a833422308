"""Who may import whom: downwards, sideways without circles, big libraries only at home."""

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A package stands for all its modules.
FLOORS = {
    "dsnjax.main": 6,
    "dsnjax.commands": 6,
    "dsnjax.train": 5,
    "dsnjax.ray_train": 5,
    "dsnjax.evaluate": 5,
    "dsnjax.start": 5,
    "dsnjax.predict": 5,
    "dsnjax.submission": 5,
    "dsnjax.draw": 5,
    "dsnjax.serve": 5,
    "dsnjax.export": 5,
    "dsnjax.report": 5,
    "dsnjax.sweep": 5,
    "dsnjax.state": 4,
    "dsnjax.step": 4,
    "dsnjax.checkpoint": 4,
    "dsnjax.optim": 4,
    "dsnjax.bundle": 4,
    "dsnjax.compiled": 4,
    "dsnjax.workdir": 4,
    "dsnjax.replay": 4,
    "dsnjax.models": 3,
    "dsnjax.losses": 3,
    "dsnjax.metrics": 3,
    "dsnjax.calibration": 3,
    "dsnjax.data": 2,
    "dsnjax.config": 1,
    "dsnjax.settings": 1,
    "dsnjax.errors": 1,
    "dsnjax.files": 1,
    "dsnjax.flags": 1,
    "dsnjax.naming": 1,
    "dsnjax.presets": 1,
    "dsnjax.pictures": 1,
    "dsnjax.plan": 1,
    "dsnjax.measured": 1,
    "dsnjax.tracking": 1,
    "dsnjax.timing": 1,
    "dsnjax.writers": 1,
    "dsnjax.mesh": 1,
    "dsnjax.processes": 1,
    "dsnjax.signals": 1,
    "dsnjax.stop": 1,
    "raster": 0,
}

# Where a library may be imported; the others may be imported anywhere above raster.
HOMES = {
    "flax": ("dsnjax.models", "dsnjax.state"),
    "grain": ("dsnjax.data.batches",),
    "orbax": ("dsnjax.checkpoint",),
}


def modules() -> dict[str, Path]:
    """Every module of both packages and its file."""
    files = [file for package in ("dsnjax", "raster") for file in (ROOT / package).rglob("*.py")]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


MODULES = modules()


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Full names of what a module imports, at its top or inside a function."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; name the module in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def floor(module: str) -> int:
    if module == "dsnjax":  # the package itself holds only its version
        return 0
    homes = [package for package in FLOORS if within(module, package)]
    assert homes, f"{module} has no floor: add it to FLOORS, as low as its imports allow"
    return FLOORS[homes[0]]


def test_the_table_names_only_what_is_there():
    assert [package for package in FLOORS if package not in MODULES] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_or_sideways(module):
    own = imports(module) & set(MODULES)
    assert {name for name in own if floor(name) > floor(module)} == set()


def test_no_imports_go_in_a_circle():
    graph = {module: imports(module) & set(MODULES) - {module} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_where_they_belong(module):
    used = {name.partition(".")[0] for name in imports(module)}
    if within(module, "raster"):
        assert used - set(sys.stdlib_module_names) <= {"numpy", "numba", "raster"}
    if within(module, "dsnjax.data"):
        assert not used & {"jax", "optax"}
    for library, homes in HOMES.items():
        assert library not in used or any(within(module, home) for home in homes)


def loads_jax(code: str) -> bool:
    """Whether a fresh interpreter has loaded jax after the code."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint('jax' in sys.modules)"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.split()[-1] == "True"


def test_workers_start_without_jax():
    assert not loads_jax("import raster, dsnjax.data.prepare, dsnjax.data.store")


def test_what_uses_a_bundle_starts_without_jax():
    assert not loads_jax("import dsnjax.predict, dsnjax.export.onnx, dsnjax.serve.run")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"]], ids=str)
def test_help_comes_without_jax(words):
    assert not loads_jax(
        f"""
from dsnjax.main import main
try:
    main({words})
except SystemExit:
    pass
"""
    )
