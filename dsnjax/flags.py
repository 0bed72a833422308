"""Words of a command line over the values of a config in, a checked section out.

Flags and files pass the same check, so `--optim.learning-rate -1` and `learning_rate: -1`
in a file are answered with the same words.
"""

import re
from typing import Any, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo

from dsnjax import settings
from dsnjax.errors import UserError

POSITIONAL = get_args(tyro.conf.Positional[str])[1]
SHORT = {"init_from": "init.model"}  # second names of values


def parse(
    schema: type[settings.Schema], argv: list[str], values: dict[str, Any] | None = None
) -> settings.Schema:
    """Command-line words over `values` into a checked section.

    `--a.b-c V` sets field `b_c` of section `a`; `--a.flag` and `--a.no-flag` set a boolean; words
    without a flag fill the field marked `tyro.conf.Positional`.

    Raises:
        UserError: an unknown flag (with its nearest name), a missing or refused value, or one that
            is given under both of its names.
    """
    merged = dict(values or {})
    known = dict(settings.fields(schema))
    words, loose, names, lists = list(argv), [], {}, {}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            loose.append(word)
            continue
        flag, equals, value = word.partition("=")
        path = path_of(flag)
        if (before := names.setdefault(path, flag)) != flag:
            raise UserError(f"{before} and {flag} are both given; want one")
        positive = re.sub(r"(^|\.)no_", r"\1", path)
        if path in known:
            if not equals or known[path].annotation is not bool:
                value = _take(flag, known[path], [value] if equals else words)
            if isinstance(value, list):  # given again, a list goes on
                value = lists[path] = [*lists.get(path, ()), *value]
            settings.put(merged, path, value)
        elif positive in known and known[positive].annotation is bool:
            settings.put(merged, positive, False)
        else:
            options = map(settings.option, known)
            raise UserError(f"{flag}: no such option{settings.nearest(flag, options)}")
    if loose:
        place = [path for path, field in known.items() if POSITIONAL in field.metadata]
        if not place:
            raise UserError(f"{loose[0]}: not expected here; options begin with --")
        merged[place[0]] = loose
    return settings.check(schema, merged)


def path_of(flag: str) -> str:
    """The dotted name of the value that a flag sets: `a.b_c` of `--a.b-c`."""
    path = flag.removeprefix("--").replace("-", "_")
    return SHORT.get(path, path)


def _take(flag: str, field: FieldInfo, words: list[str]) -> Any:
    """The value or values that belong to a flag, taken off `words`."""
    if field.annotation is bool:
        return True
    several = get_origin(field.annotation) is tuple
    given = []
    while words and not words[0].startswith("--") and (several or not given):
        given.append(words.pop(0))
    if not any(given):
        raise UserError(f"{flag}: wants a value")
    if several:
        return given
    optional = type(None) in get_args(field.annotation)
    return None if optional and given[0].lower() == "none" else given[0]
