"""The settings of a run: from presets and YAML files, one over another, into a checked section."""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dsnjax import __version__, presets
from dsnjax.config import Config, Section
from dsnjax.errors import UserError, one_line

Schema = TypeVar("Schema", bound=Section)
STARTS = {"init.model", "init.cnn", "init.rnn"}
SHOWN = ("image_size", "thickness", "length", "levels")  # what a network is shown of a drawing
WRITTEN_BY = "# Written by dsnjax "


def load(name: str, *, kind: str = "preset") -> dict[str, Any]:
    """Values of a preset (`dsn_plus`) or a YAML file (`configs/mine.yaml`), unchecked.

    Args:
        kind: what a name is of: `preset`, or `sweep`.

    Raises:
        UserError: no such preset or file, or no mapping in it.
    """
    path = Path(name)
    if not path.suffix:
        folder = presets.folder() / "sweeps" if kind == "sweep" else presets.folder()
        known = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
        if name not in known:
            raise UserError(f"--config {name}: no such {kind}{nearest(name, known)}")
        path = known[name]
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_newer(path, text)
        values = yaml.safe_load(text) or {}
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}; give a preset or a file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: also of a date
        what = one_line(error)
        raise UserError(f"--config {path}: not YAML: {what}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {path}: holds {type(values).__name__}; want sections of values")
    return values


def of_model(name: str) -> dict[str, Any]:
    """The network of a model and what it is shown of drawings, as values of a config.

    Args:
        name: a work directory, a folder made by `dsnjax bundle`, or `pretrained`. Where nothing
            lies there it says nothing: who opens the model names the fault.
    """
    files = [presets.model(name) / file for file in ("config.yaml", "config.json")]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        return {}
    values = load(str(found))
    model, shown = (_section(values, name, f"{found}: ") for name in ("model", "data"))
    return {"model": model, "data": {key: shown[key] for key in SHOWN if key in shown}}


def _section(values: dict[str, Any], name: str, source: str = "") -> dict[str, Any]:
    """A section's values, which may be missing. Raises UserError for one that is no section."""
    section = values.get(name) or {}
    if not isinstance(section, dict):
        raise UserError(f"{source}{name}: got {section!r}; want a section of values")
    return section


def under_way(folder: Path, start: str) -> bool:
    """Whether a folder holds a run from the model `start` that a checkpoint was saved of."""
    file = folder / "config.yaml"
    if not file.is_file() or not any(folder.glob("checkpoints/*.json")):
        return False
    return check(Config, load(str(file)), str(file)).init.model == start


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The values of `above`, and those of `below` that it does not name, section by section."""
    merged = dict(below)
    for name, value in above.items():
        lower = below.get(name)
        if isinstance(value, dict) and isinstance(lower, dict):
            value = over(lower, value)
        merged[name] = value
    return merged


def dump(config: Config) -> str:
    """A resolved config as YAML, with the version of dsnjax that it was written by."""
    values = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return f"{WRITTEN_BY}{__version__}\n{values}"


def _refuse_newer(path: Path, text: str) -> None:
    """Raises UserError for a file of a later version, whose values may mean something else."""
    line = text.partition("\n")[0]
    there = line.removeprefix(WRITTEN_BY).strip()
    if not line.startswith(WRITTEN_BY):
        return
    minor, own = ([int(part) for part in re.findall(r"\d+", v)[:2]] for v in (there, __version__))
    if minor > own:
        raise UserError(f"{path}: written by dsnjax {there}, this is {__version__}; upgrade it")


def check(schema: type[Schema], values: dict[str, Any], source: str = "") -> Schema:
    """Values into a frozen section, or one line that names the value, its bounds and the way out.

    Args:
        source: where the values come from, which that line then begins with.

    Raises:
        UserError: for the first value that is unknown or out of bounds.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            parent = ".".join(str(part) for part in first["loc"][:-1])
            paths = [path for path, _ in fields(schema)]
            known = [path for path in paths if path.rpartition(".")[0] == parent]
            known += [section for path in paths if (section := path.rpartition(".")[0])]
            known += [path for path in paths if _last(path) == _last(where)]
            message = f"no such setting{nearest(where, known)}"
        elif first["type"] == "missing":
            message = f"wants a value: {option(where)}; see --help"
        elif first["type"] != "value_error":
            message = f"got {first['input']!r}; {message[0].lower()}{message[1:]}"
        raise UserError(": ".join(filter(None, (source, where, message)))) from error


def option(path: str) -> str:
    """The option that sets a dotted name."""
    return "--" + path.replace("_", "-")


def fields(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted path and definition of every value of a schema, sections opened."""
    for name, field in schema.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, else some of them."""
    known = list(dict.fromkeys(known))
    close = [name for name in known if _last(name) == _last(word)]
    close = close or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; nearest is {close[0]}" if close else f"; known are {', '.join(sorted(known)[:12])}"


def _last(word: str) -> str:
    """A dotted name's last word: `flip` of `--data.augment.flip`, and of `--flip`."""
    return word.lstrip("-").rpartition(".")[2]


def check_alone(values: dict[str, Any], beside: dict[str, Any], source: str) -> None:
    """Checks the values of a file as they are, not only under those `beside` it that win over them.

    What a file freezes wants a start, which those may name.
    """
    alone = dict(values)
    for start in STARTS & beside.keys():
        put(alone, start, beside[start])
    check(Config, alone, source)


def same_run(file: Path, config: Config, *, moved: bool = False) -> None:
    """Raises UserError where a run's config.yaml is there and holds other values.

    Of `mesh` it may: a run goes on with the devices that it finds; and with `moved` of where its
    store lies.
    """
    if not file.is_file():
        return
    there = check(Config, load(str(file)), str(file))
    one, other = (flat(each.model_dump(exclude={"mesh"})) for each in (there, config))
    for path in one:
        elsewhere = moved and path == "data.store" and one[path] and other[path]
        if one[path] != other[path] and not elsewhere:
            raise UserError(
                f"{file.parent} holds a run with {path}={one[path]}, not {other[path]}; "
                "give another --workdir, or the same values"
            )


def command(config: Config) -> str:
    """The words that train what a config holds: those beside the preset that is nearest to it."""
    wanted = flat(config.model_dump(exclude={"mesh"}))
    own: dict[str, dict[str, Any]] = {}
    for file in sorted(presets.folder().glob("*.yaml")):
        there = flat(check(Config, load(file.stem)).model_dump(exclude={"mesh"}))
        own[file.stem] = {path: value for path, value in wanted.items() if there[path] != value}
    preset = min(own, key=lambda name: len(own[name]))
    words = [
        _flag(path, "S" if path == "data.store" else own[preset][path]) for path in own[preset]
    ]
    return " ".join(["dsnjax train --config", preset, *words])


def _flag(path: str, value: Any) -> str:
    """A value as `dsnjax.flags` reads it."""
    if isinstance(value, bool):
        section, dot, name = path.rpartition(".")
        return option(f"{section}{dot}{'' if value else 'no_'}{name}")
    given = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return f"{option(path)} {'none' if given is None else given}"


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their dotted names, sections opened; one that is empty stays, for its name."""
    opened = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and value
        opened |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return opened


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets a dotted name in nested sections, which are copied."""
    *sections, name = path.split(".")
    for section in sections:
        values[section] = dict(_section(values, section))
        values = values[section]
    values[name] = values.get(name, value) if value == {} else value  # which names nothing
