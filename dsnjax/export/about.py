"""What a user of an exported model must know besides its weights; it travels inside the file."""

import hashlib
import json
import math
from typing import Literal

from dsnjax import __version__, bundle, config

Precision = Literal["float32", "float16", "int8"]


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

    @classmethod
    def of(cls, model: bundle.Bundle, precision: Precision = "float32") -> "About":
        """What is to be said of a bundle's model."""
        recipe = model.recipe
        side = cells(recipe.model.cnn, recipe.data.image_size)
        return cls(
            config_sha256=digest(recipe),
            precision=precision,
            categories=model.categories,
            temperature=recipe.temperature,
            image_size=recipe.data.image_size,
            thickness=recipe.data.thickness,
            levels=recipe.data.levels,
            length=recipe.data.length,
            grid=(side, side) if recipe.model.weighs_tokens else (0, 0),
            stride=math.prod(recipe.model.rnn.strides),
        )

    def data(self) -> config.Data:
        """How drawings are shown to the model."""
        names = ("image_size", "thickness", "levels", "length")
        return config.Data(**{name: getattr(self, name) for name in names})


def cells(size: config.CNN, side: int) -> int:
    """Rows of the grid of tokens that the CNN makes of an image of that side."""
    if size.dense:
        return 1
    side = side // size.stem if size.stem else -(-side // 4)
    for _ in size.widths[1:]:
        side = -(-side // (4 if size.block == "plain" else 2))
    return side


def digest(recipe: config.Section) -> str:
    """SHA-256 of a config."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
