"""Networks over drawings."""

from flax import nnx

from dsnjax import config
from dsnjax.models.dsn import DSN, Output

__all__ = ["DSN", "Output", "build"]


def build(model: config.Model, categories: int, rngs: nnx.Rngs) -> DSN:
    """The network of a config with fresh weights, for that many categories."""
    return DSN(model, categories, rngs=rngs)
