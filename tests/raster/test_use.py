"""Fit for use: alone, from many threads, after a fork, without a folder for the cache."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import raster

FIRST_PICTURE = "import raster; raster.render(raster.pack([[[[0, 255], [0, 255]]]]), size=16)"


def run(code, **changes):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_threads_at_once_draw_what_one_would():
    rng = np.random.default_rng(0)
    drawings = [[rng.integers(0, 256, (2, 20)).tolist() for _ in range(4)] for _ in range(64)]
    packed = raster.pack(drawings)
    falling = np.array([200, 100], np.uint8)
    want = raster.render(packed, levels=falling)
    raster.warm_up()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: raster.render(packed, levels=falling), range(32)))
    assert all(np.array_equal(image, want) for image in images)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_draws_after_a_fork():
    done = run(
        f"{FIRST_PICTURE}\n"
        "import os\n"
        "if os.fork() == 0:\n"
        f"    {FIRST_PICTURE}\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    assert done.stdout.split() == ["7"], done.stderr


def test_raster_works_without_jax_and_dsnjax():
    done = run(
        f"{FIRST_PICTURE}\nimport sys; print({{'jax', 'dsnjax', 'grain'}} & {{*sys.modules}})"
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_where_no_cache_can_be_written_it_says_so_once_and_draws(tmp_path):
    # Files where folders are wanted hinder even root, whom permissions do not.
    shutil.copytree(
        Path(raster.__file__).parent, tmp_path / "raster", ignore=shutil.ignore_patterns("__*__")
    )
    shutil.copy(raster.__file__, tmp_path / "raster")
    (tmp_path / "raster" / "__pycache__").touch()
    (tmp_path / "home").touch()
    home = str(tmp_path / "home")
    done = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import numpy, raster; print(raster.entropy(numpy.zeros((1, 8, 8), 'uint8'))[0])",
        HOME=home,
        XDG_CACHE_HOME=home,
        NUMBA_CACHE_DIR="",
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert float(done.stdout) == 0, done.stderr
    assert done.stderr.count("no folder to keep compiled kernels in") == 1
