"""What can go wrong that is not a bug, and the exit code that says so to a launcher."""

import contextlib
import errno
from collections.abc import Iterator


class Trouble(ValueError):
    """Ends a command with one line on stderr and `exit_code`; never with a traceback."""

    exit_code = 1
    shared = False  # met by all processes of the run at the same place
    said = False  # already, by another of them


class UserError(Trouble):
    """The user's mistake: an unknown name, a value out of bounds, a folder in use."""

    exit_code = 2


class DataError(Trouble):
    """Bad data: too many rejected rows, a damaged store, a loss that is not finite."""

    exit_code = 3


class CheckpointError(Trouble):
    """No usable checkpoint in a work directory."""

    exit_code = 4


class Interrupted(Trouble):
    """Stopped from outside with everything saved; the same command goes on from there."""

    exit_code = 75


KINDS = {kind.__name__: kind for kind in (UserError, DataError, CheckpointError, Interrupted)}

# What the machine refuses, and what to do: a disk can be emptied, the rest is a mistake.
FULL = (errno.ENOSPC, errno.EDQUOT)
ELSEWHERE = (
    *(errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
)
REFUSED = {
    **dict.fromkeys(FULL, (Interrupted, "make room; the same command goes on")),
    **dict.fromkeys(ELSEWHERE, (UserError, "name another place")),
}


def as_trouble(error: BaseException) -> Trouble | None:
    """What an error is to who runs the command; None for a bug."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted; the same command goes on")
    if isinstance(error, OSError) and error.errno in REFUSED:
        kind, way_out = REFUSED[error.errno]
        where = f"{error.filename}: " if error.filename else ""  # no name comes from a write
        return kind(f"{where}{error.strerror}; {way_out}")
    return None


def one_line(error: BaseException) -> str:
    """What an error says, without its line breaks."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def extra(name: str, wanted_by: str) -> Iterator[None]:
    """Around imports of what the extra `name` brings; a UserError says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{wanted_by} needs {error.name}, which is not installed: pip install 'dsnjax[{name}]'"
        ) from error
