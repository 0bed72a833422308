"""Finds numba a folder to keep compiled kernels in, before the first kernel is declared."""

import atexit
import shutil
import tempfile
import warnings

import numba


def choose_folder() -> None:
    """Leaves numba's own choice, or takes a temporary folder and says so where all are read-only.

    numba writes beside the source, else below the user's cache folder or NUMBA_CACHE_DIR, and
    refuses to declare a cached function if it may write to none of them.
    """
    try:
        numba.njit(cache=True)(choose_folder)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="raster-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        warnings.warn(
            f"raster: no folder to keep compiled kernels in; they are compiled again by every "
            f"process, into {folder}. Set NUMBA_CACHE_DIR to a folder that can be written",
            stacklevel=2,
        )
