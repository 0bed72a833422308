"""What can go wrong that is not a bug, and the exit code that says so to a launcher."""


class Trouble(ValueError):
    """Ends a command with one line on stderr and `exit_code`; never with a traceback."""

    exit_code = 1
    said = False  # already, by another process of the same run


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
