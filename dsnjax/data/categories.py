"""The name of a preset, a file or a list with commas -> the categories, in label order."""

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsnjax import presets
from dsnjax.errors import UserError


def read(spec: str | Path | Iterable[str]) -> tuple[str, ...]:
    """The categories that `spec` names; a category's label is its position.

    Args:
        spec: a preset (`paper40`), a text file with one category a line (`#` begins a
            comment), a list such as `cat,dog`, or the names themselves.

    Raises:
        UserError: no such preset, file or category; an empty list; a name given twice.
    """
    if not isinstance(spec, str | Path):
        return checked(_stripped(spec), "the list")
    preset = _preset(str(spec))
    file = preset if preset.is_file() else Path(spec)
    if file.is_file():
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"categories={str(spec)!r}: no text ({error.reason})") from error
        lines = (line.partition("#")[0] for line in text.splitlines())
        return checked(_stripped(lines), str(spec))
    if "," in str(spec) or spec in known():
        return checked(_stripped(str(spec).split(",")), "the list")
    wanted = [*names(), *known()]
    raise UserError(f"categories={str(spec)!r} is no preset, file or category{near(spec, wanted)}")


def names() -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in (presets.folder() / "categories").glob("*.txt"))


def known() -> tuple[str, ...]:
    """The 345 categories of Quick, Draw!, sorted."""
    return tuple(_preset("all345").read_text(encoding="utf-8").splitlines())


def near(name: str | Path, wanted: Iterable[str]) -> str:
    """The end of an error message: what was probably meant, or nothing."""
    close = difflib.get_close_matches(str(name), list(wanted), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _preset(name: str) -> Path:
    return presets.folder() / "categories" / f"{name}.txt"


def _stripped(lines: Iterable[str]) -> list[str]:
    return [name for line in lines if (name := line.strip())]


def checked(found: Sequence[str], source: str) -> tuple[str, ...]:
    """The categories, if they can be some; else UserError says what the source names wrongly."""
    if not found:
        raise UserError(f"categories: {source} names none; want one category a line")
    twice = sorted(name for name, count in Counter(found).items() if count > 1)
    if twice:
        raise UserError(f"categories: {source} names {twice[0]!r} twice; each is one label")
    # Files hold one name a line; control characters, surrogates and Unicode's own line breaks.
    refused = ("Cc", "Cs", "Zl", "Zp")
    for name in found:
        if any(unicodedata.category(letter) in refused for letter in name):
            raise UserError(
                f"categories: {source} names {name!r}; want no line breaks or control characters"
            )
    if len(found) > 65_535:
        raise UserError(f"categories: {source} names {len(found)}; labels are 16-bit numbers")
    return tuple(found)
