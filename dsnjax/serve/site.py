"""A trained model in, what the page needs of it out: for the server, or as a folder of files.

The page asks for `model.json` (what the network reads and names), `model.onnx` and, below `ort/`,
the runtime that runs it. A static host with these files needs no server behind it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raster
from dsnjax import bundle, files
from dsnjax.errors import UserError
from dsnjax.export.about import About
from dsnjax.export.session import Session
from dsnjax.serve import runtime

if TYPE_CHECKING:
    from dsnjax.serve.batching import Network

PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Model:
    """A model as the page and the service use it.

    network: names drawings, for the service. onnx: the same for browsers. about: model.json.
    """

    network: "Network"
    onnx: bytes
    about: dict[str, Any]

    @classmethod
    def of(cls, trained: bundle.Bundle) -> "Model":
        """A bundle, exported."""
        from dsnjax.export import onnx  # an extra

        exported = onnx.build(trained)
        return cls(Session(exported), exported, told(About.of(trained)))

    def warm_up(self) -> None:
        """Compiles what requests run, or loads it from numba's cache: the first would wait."""
        line = [[[0, 255], [0, 255], [0, 9]]]
        self.network(raster.pack([raster.simplify(line, times=self.about["timed"])]))


def told(about: About) -> dict[str, Any]:
    """model.json, as a static host has it: what the page must know of an exported model."""
    timed = about.data().timed
    read = {"categories", "image_size", "thickness", "length", "grid", "stride"}
    return about.model_dump(include=read) | {
        "timed": timed,  # the image tells times, which the page itself cannot draw
        "browser": runtime.there() and not timed,
        "server": False,
        "collect": False,
    }


def check(about: About, folder: Path) -> None:
    """Raises UserError where no site of a model can be written into a folder.

    The folder holds something else, the model reads times, or what runs models in browsers has not
    been fetched.
    """
    if not runtime.there():
        raise UserError(f"site: {runtime.MISSING}")
    if about.data().timed:
        raise UserError("site: this model reads times, which the page cannot draw; serve it")
    if folder.exists() and any(folder.iterdir()) and not (folder / "model.json").is_file():
        raise UserError(f"{folder}: not empty and no site; give a new folder")


def write(exported: bytes, about: About, folder: Path) -> None:
    """Writes the page with an exported model for any static host.

    No file is ever there in part, and `model.json`, by which a site is known, comes last.
    """
    page = [file for file in PAGE.rglob("*") if file.is_file()]
    made = {folder / file.relative_to(PAGE): file.read_bytes() for file in page}
    made[folder / "model.onnx"] = exported
    made[folder / "model.json"] = json.dumps(told(about)).encode()
    for path, data in made.items():
        files.write(path, data)
