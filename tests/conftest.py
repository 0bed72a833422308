"""What all tests share: jax on the CPU, patience on slow machines, the real drawings."""

import os
from pathlib import Path

# Before any test imports jax, which reads it once.
os.environ["JAX_PLATFORMS"] = "cpu"

import hypothesis
import pytest

# A property holds or it does not; how long a busy machine takes to show it is no matter.
hypothesis.settings.register_profile(
    "dsnjax",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("dsnjax")


@pytest.fixture(scope="session")
def quickdraw() -> Path:
    """Folder of real drawings in the bucket's layout (`full/simplified/cat.ndjson`)."""
    named = os.environ.get("DSNJAX_QUICKDRAW")
    beside = Path(__file__).parents[2] / "shared" / "data" / "quickdraw"
    folder = Path(named) if named else beside
    if not (folder / "full" / "simplified").is_dir():
        pytest.skip(f"no real drawings in {folder}; DSNJAX_QUICKDRAW names their folder")
    return folder
