"""Where the presets lie: `configs/` of a checkout, `dsnjax/configs/` of an installed wheel."""

from pathlib import Path


def folder() -> Path:
    """The folder of presets. Raises FileNotFoundError when the installation lost it."""
    package = Path(__file__).parent
    for candidate in (package / "configs", package.parent / "configs"):
        if (candidate / "categories").is_dir():
            return candidate
    raise FileNotFoundError(f"{package}: the presets (configs/) are missing; install dsnjax again")
