"""argv -> one command; nothing else."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tyro

from dsnjax import __version__, flags, settings
from dsnjax.commands import COMMANDS, Train, run_folder
from dsnjax.errors import UserError, as_trouble

OVERVIEW = """dsnjax: drawings made of strokes in, the name of what is drawn out.

{commands}

Every command has --help with an example. Without a command, options are those of train:
  python -m dsnjax.main --config dsn_plus --data.store S --workdir runs/a
dsnjax --version says which one this is.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code: see dsnjax.errors."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with terminable():
            run(words)
    except BrokenPipeError:  # `dsnjax predict ... | head` has seen enough
        # What is still in the buffer would raise again when Python closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, KeyboardInterrupt) as error:
        if not (trouble := as_trouble(error)):
            raise
        if not trouble.said:
            print(f"dsnjax: {trouble}", file=sys.stderr)
        return trouble.exit_code
    return 0


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, where the command itself looks after neither."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(words: list[str]) -> None:
    """Finds the command, checks its words, runs it. Raises Trouble."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if words == ["--version"]:
        print(f"dsnjax {__version__}")
        return
    if words[0].startswith("-"):
        words = ["train", *words]
    name, *rest = words
    if name not in COMMANDS:
        raise UserError(f"{name}: no such command{settings.nearest(name, COMMANDS)}")
    schema = COMMANDS[name]
    if "--help" in rest or "-h" in rest:
        tyro.cli(schema, prog=f"dsnjax {name}", args=["--help"])
    values = base(rest) if schema is Train else None
    flags.parse(schema, rest, values).execute()


def base(words: list[str]) -> dict:
    """The values a training run starts from: those of --config, else of the run in --workdir.

    Where they name a model to start from, its network and its view of drawings lie under them.
    """
    given = {
        flags.path_of(word.partition("=")[0]): word.partition("=")[2] or following
        for word, following in zip(words, [*words, ""][1:], strict=True)
        if word.startswith("--")
    }
    folder = run_folder(given.get("workdir"), given.get("config"))
    there = folder / "config.yaml"
    file = given.get("config") or (str(there) if there.is_file() else "")
    values = settings.load(file) if file and not file.startswith("--") else {}
    settings.check_alone(values, given, file)
    named = given.get("init.model") or (values.get("init") or {}).get("model")
    if not named:
        return values
    # A run that goes on has read its start, which may be gone by now, or another one.
    model = str(folder.absolute()) if settings.under_way(folder, named) else named
    return settings.over(settings.of_model(model), values)


def overview() -> str:
    """The help of dsnjax itself."""
    lines = [
        f"  {name:10} {(schema.__doc__ or '').splitlines()[0]}" for name, schema in COMMANDS.items()
    ]
    return OVERVIEW.format(commands="\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
