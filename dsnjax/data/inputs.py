"""Drawings in, what a network reads of them out. Free of jax, for those who only use a model."""

import numpy as np

import raster
from dsnjax import config
from dsnjax.errors import UserError


def inputs(packed: raster.Packed, data: config.Data) -> dict[str, np.ndarray]:
    """What the network reads of drawings: their image, points and length.

    Raises:
        UserError: a channel of the image needs times, and the drawings have none.
    """
    timed = [name for name in data.levels if name != "order"]
    if timed and packed.times is None:
        raise UserError(
            f"data.levels: {timed[0]} needs drawings with times; give raw ones, for a store by "
            "dsnjax prepare --times"
        )
    image = raster.render(packed, data.image_size, data.thickness, levels=data.levels)
    points, length = raster.sequences(packed, data.length)
    return {"image": image, "points": points, "length": length}
