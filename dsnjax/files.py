"""Files that are whole or not there at all, and folders that one run at a time may write."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dsnjax.errors import UserError


def sha256(path: Path) -> str:
    """The checksum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes its name only when all of it is written.

    Without sync a loss of power may still tear it: for files whose checksum is looked at. Makes its
    folder. What a link leads to is written; a pipe or a device takes what comes, as it comes.
    Raises UserError where nothing may be written.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file")
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    real = Path(os.path.realpath(path))  # which a loop of links does not stop
    # A worker that outlives its parent for a moment may be writing the same file.
    part = real.with_name(f"{real.name}.{os.getpid()}.part")
    with _refusal_told(path):
        real.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "wb")  # noqa: SIM115 (closed two lines on)
    try:
        with file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, real)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, data: bytes | str) -> None:
    """Writes a file, text as UTF-8, that is there whole or not at all: see `whole`."""
    with whole(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps every other run out of it, until this one ends or dies.

    Raises UserError where nothing may be written, or another run does.
    """
    with _refusal_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")  # noqa: SIM115 (closed two lines on)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another run writes here; wait until it has ended, or name another"
            ) from None
        yield


@contextmanager
def full_disk_told(folder: Path, size: float) -> Iterator[None]:
    """Says how much room is wanted, `size` bytes in all, where the disk becomes full."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(
            f"{folder}: the disk is full; free {size / 1e6:,.0f} MB in all and run it again: it "
            "goes on where it stopped"
        ) from None


@contextmanager
def _refusal_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:  # told by those who know how much is to come
            raise
        raise UserError(f"{path}: cannot be written ({error.strerror}); name another") from None
