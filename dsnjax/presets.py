"""Where what ships lies: presets and a trained model.

Presets are in `configs/` of a checkout, in `dsnjax/configs/` of an installed wheel.
"""

from pathlib import Path

PRETRAINED = Path(__file__).parent / "pretrained"


def model(name: Path | str) -> Path:
    """The folder of a model: a work directory or bundle, or `pretrained`, the one that ships."""
    return PRETRAINED if str(name) == PRETRAINED.name else Path(name)


def folder() -> Path:
    """The folder of presets. Raises FileNotFoundError when the installation lost it."""
    package = Path(__file__).parent
    for candidate in (package / "configs", package.parent / "configs"):
        if (candidate / "categories").is_dir():
            return candidate
    raise FileNotFoundError(f"{package}: the presets (configs/) are missing; install dsnjax again")
