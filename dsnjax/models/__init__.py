"""Networks over drawings."""

from flax import nnx

from dsnjax import config
from dsnjax.models.cnn import CNN
from dsnjax.models.dsn import DSN
from dsnjax.models.output import Output
from dsnjax.models.resnet import ResNet
from dsnjax.models.rnn import RNN
from dsnjax.models.vote import Vote

__all__ = ["DSN", "OF_CATEGORIES", "Output", "Vote", "build"]

OF_CATEGORIES = ("head", "cnn_head", "rnn_head", "score")
"""First names of the parameters that have one part for each category; other categories need
others."""


def build(model: config.Model, data: config.Data, categories: int, rngs: nnx.Rngs) -> DSN | Vote:
    """The network of a config with fresh weights, for that many categories and such images."""
    cnn = rnn = None
    if model.branches != "rnn":
        channels = len(data.levels)
        if model.cnn.block == "plain":
            cnn = CNN(model.cnn, data.image_size, channels, rngs=rngs)
        else:
            cnn = ResNet(model.cnn, channels, model.remat, rngs=rngs)
    if model.branches != "cnn":
        rnn = RNN(model.rnn, model.dropout, rngs=rngs)
    if cnn and rnn and model.fusion == "tokens":
        return DSN(cnn, rnn, model, categories, rngs=rngs)
    return Vote(cnn, rnn, model, categories, rngs=rngs)
