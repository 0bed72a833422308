"""A template and values in, one HTML file that needs nothing else out, its numbers beside it."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsnjax import __version__, files
from dsnjax.errors import extra

with extra("report", "report"):
    import jinja2
    from markupsafe import Markup as Markup  # said for all pages: what needs no escaping


def write(template: str, path: Path, numbers: dict[str, Any], **values: Any) -> None:
    """Writes `path` from a template of this folder, and `numbers` beside it as JSON.

    Every value is escaped but for Markup: names of categories come from data.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "count": lambda number: f"{number:,}", "chance": chance}
    html = environment.get_template(template).render(version=__version__, **values)
    files.write(path.with_suffix(".json"), json.dumps(numbers, indent=1) + "\n")
    files.write(path, html)


def table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(path, buffer.getvalue())


def share(value: float) -> str:
    """A share as a person reads it."""
    return f"{100 * value:.1f} %" if value == value else "-"


def chance(p: float) -> str:
    """The p of a test as a person reads it."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"
