"""Files that are whole or not there at all, and folders that one run at a time may write."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dsnjax.errors import UserError


@contextmanager
def whole(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes its name only when all of it is written.

    Without sync a loss of power may still tear it: for files whose checksum is looked at.
    """
    # A worker that outlives its parent for a moment may be writing the same file.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(part, "wb") as file:
        yield file
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(part, path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps every other run out of it, until this one ends or dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another run writes here; wait until it has ended") from None
        yield
