"""What a user of an exported model must know besides its weights; it travels inside the file."""

import hashlib
import json

from dsnjax import __version__, config


class About(config.Section):
    """What the model names, and what must be drawn for it."""

    dsnjax: str = __version__
    """Version of dsnjax that wrote it."""
    config_sha256: str
    """Of the recipe it was made from, as JSON with sorted keys."""
    precision: str = "float32"
    """How weights are stored; what is computed is float32."""
    categories: tuple[str, ...]
    """Names in the order of the probabilities."""
    temperature: float = 1.0
    """What logits were divided by before the softmax, so that probabilities tell how often it is
    right."""
    image_size: int = 0
    """Height and width of the image in pixels."""
    thickness: float = 2.0
    """Of a stroke, in pixels."""
    levels: tuple[str, ...] = ("order",)
    """What the grey of each channel tells: see raster.render."""
    length: int = 0
    """Points that the RNN is shown, at most."""
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of the image's part of `attention`; 0 where there is no such output."""
    stride: int = 1
    """Points to a step of the points' part of `attention`."""

    def data(self) -> config.Data:
        """How drawings are shown to the model."""
        names = ("image_size", "thickness", "levels", "length")
        return config.Data(**{name: getattr(self, name) for name in names})


def digest(recipe: config.Section) -> str:
    """SHA-256 of a config."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
