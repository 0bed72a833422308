"""Finds numba a folder to keep compiled kernels in, before the first kernel is declared."""

import atexit
import os
import shutil
import tempfile
import warnings

import numba
from numba.core import config


def choose_folder() -> None:
    """Leaves numba's own choice, or takes a temporary folder and says so where all are read-only.

    numba writes beside the source, else to the user's cache folder, and refuses to declare a
    cached function if it may write to neither. The temporary folder is named in NUMBA_CACHE_DIR,
    so that worker processes share it; it goes when this process ends.
    """
    try:
        numba.njit(cache=True)(choose_folder)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="raster-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
        config.reload_config()
        warnings.warn(
            "raster: no folder to keep compiled kernels in, so this process compiles them again, "
            f"into {folder}; set NUMBA_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
