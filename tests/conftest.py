"""What all tests share: jax on the CPU, patience on slow machines, the real drawings."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

# Before any test imports jax, which reads these once. Networks of a few thousand weights take
# longer to compile than to train: XLA optimizes little, and what one process compiled also serves
# the programs that its tests start. Jax takes no lock there: pytest-xdist's workers have one each.
compiled = tempfile.TemporaryDirectory(prefix="dsnjax-compiled-")
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": compiled.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "RAY_worker_niceness": "0",  # or tests beside it leave its processes no time
}

# A property holds or it does not; how long a busy machine takes to show it is no matter.
hypothesis.settings.register_profile(
    "dsnjax",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("dsnjax")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first: no worker is left alone with them at the end."""
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("timeout", "multihost"))))


@contextmanager
def _ready(program: str, **environment: str) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running


@pytest.fixture
def ready():
    """Runs a program's text and gives its process once it has printed `ready`."""
    return _ready


@pytest.fixture(scope="session")
def quickdraw() -> Path:
    """Folder of real drawings in the bucket's layout (`full/simplified/cat.ndjson`)."""
    named = os.environ.get("DSNJAX_QUICKDRAW")
    beside = Path(__file__).parents[2] / "shared" / "data" / "quickdraw"
    folder = Path(named) if named else beside
    if not (folder / "full" / "simplified").is_dir():
        pytest.skip(f"no real drawings in {folder}; DSNJAX_QUICKDRAW names their folder")
    return folder


@pytest.fixture(scope="session")
def made_up(tmp_path_factory) -> Path:
    """A store of 20 made-up drawings in each category."""
    from dsnjax.data import prepare, synthetic

    folder = tmp_path_factory.mktemp("made_up")
    synthetic.write(folder / "drawings", 20, seed=1)
    prepare.prepare([folder / "drawings"], folder / "store", synthetic.categories(), jobs=1)
    return folder / "store"


@pytest.fixture(scope="session")
def tiny(made_up):
    """Config of a run of a few steps on a network of a few thousand weights."""
    from dsnjax import config, settings

    values = {
        "data": {
            "store": made_up,
            "batch_size": 32,
            "image_size": 32,
            "length": 24,
            "split": {"valid": 0.1, "test": 0.2},
        },
        "model": {
            "cnn": {"stem": 4, "widths": [8, 16], "blocks": [1, 1]},
            "rnn": {"widths": [8, 8], "kernels": [5, 3], "strides": [1, 2], "hidden": 8},
            "width": 16,
            "heads": 2,
        },
        "run": {"epochs": 2, "log_every": 2, "checkpoint_every": 4},
    }
    return settings.check(config.Config, values)


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> Path:
    """The work directory of a run of `tiny` that nothing disturbed; copy it before changing it."""
    from dsnjax import train
    from dsnjax.workdir import Workdir

    path = tmp_path_factory.mktemp("trained") / "run"
    train.train(tiny, Workdir(path))
    return path


@pytest.fixture
def small_disk(request, tmp_path):
    """A disk of as many KiB as its parameter says."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
