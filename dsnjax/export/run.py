"""A model and a kind of export in, a folder of files out, compared before they are written."""

import json
import os
from pathlib import Path
from typing import Literal

from dsnjax import bundle, files
from dsnjax.errors import UserError
from dsnjax.export import parity, stablehlo
from dsnjax.export.about import About, Precision
from dsnjax.export.session import Session
from dsnjax.serve import site
from dsnjax.workdir import Workdir

Kind = Literal["onnx", "stablehlo", "site"]
ABOUT = "model.json"


def export(
    folder: Path, kind: Kind, dest: Path, precision: Precision = "float32"
) -> tuple[Path, parity.Parity]:
    """Writes `model.onnx` or `model.stablehlo` and `model.json`, or the page, into a folder.

    Args:
        folder: a work directory or a bundle.
        precision: how an ONNX file's weights are stored.

    Returns:
        the file or the page's folder, and how it compares with the network.

    Raises:
        UserError: no usable model, a precision that the kind has not, or a folder that cannot be
            had; said before anything is built.
        Trouble: the export says something else than the network; nothing was written.
    """
    if kind != "onnx" and precision != "float32":
        raise UserError(f"--precision {precision}: {kind} is written in float32; leave it out")
    if dest.exists() and not dest.is_dir():
        raise UserError(f"--dest {dest}: a file; want a folder")
    workdir = Workdir(folder) if bundle.is_run(folder) else None
    model = bundle.find(folder)
    about = About.of(model, precision)
    if kind == "site":
        site.check(about, dest)
    if kind == "stablehlo":
        written = stablehlo.build(model)
        run = stablehlo.Program(written, model).logits
    else:
        from dsnjax.export import onnx  # an extra

        written = onnx.build(model, precision)
        run = Session(written, threads=os.cpu_count() or 1).logits
    found = parity.compare(model, run, parity.drawings(workdir))
    found.check(precision)
    if kind == "site":
        site.write(written, about, dest)
        return dest, found
    return _write(written, about, dest / f"model.{kind}"), found


def _write(written: bytes, about: About, path: Path) -> Path:
    text = json.dumps(about.model_dump(mode="json"), indent=1, ensure_ascii=False)
    files.write(path, written)
    files.write(path.parent / ABOUT, f"{text}\n")
    return path
