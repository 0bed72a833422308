"""Image and points of a drawing in, logits and the feature before the head out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.attention import AttentionPool
from dsnjax.models.cnn import CNN
from dsnjax.models.rnn import RNN


class Output(NamedTuple):
    """What the network says of a batch, and what it looked at."""

    logits: Array  # [b, k]
    feature: Array  # [b, d] the vector the head reads
    branches: tuple[Array, Array]  # [b, k] each: the CNN's and the RNN's own logits
    attention: Array  # [b, n + t, heads] weights of the CNN's, then of the RNN's tokens


class DSN(nnx.Module):
    """Deep Sketch Network (section 4.1): both branches' tokens under one attention, then FC."""

    def __init__(self, model: config.Model, categories: int, *, rngs: nnx.Rngs):
        self.cnn = CNN(model.cnn, rngs=rngs)
        self.rnn = RNN(model.rnn, model.dropout, rngs=rngs)
        self.cnn_token = nnx.Linear(self.cnn.features, model.width, rngs=rngs)
        self.rnn_token = nnx.Linear(self.rnn.features, model.width, rngs=rngs)
        # Two branches of different scale share one softmax: each is brought to unit scale.
        self.cnn_norm = nnx.LayerNorm(model.width, rngs=rngs)
        self.rnn_norm = nnx.LayerNorm(model.width, rngs=rngs)
        self.pool = AttentionPool(model.width, model.heads, rngs=rngs)
        self.dropout = nnx.Dropout(model.dropout)
        self.head = nnx.Linear(model.width, categories, rngs=rngs)
        self.cnn_head = nnx.Linear(model.width, categories, rngs=rngs)
        self.rnn_head = nnx.Linear(model.width, categories, rngs=rngs)

    def __call__(
        self, image: Array, points: Array, length: Array, *, train: bool, key: Array | None
    ) -> Output:
        """Reads a batch.

        Args:
            image: [b, h, w, c] uint8.
            points: [b, t, 3] (dx, dy, pen).
            length: [b] int32, real points of each drawing.
            train: use and move batch statistics, drop features.
            key: randomness of dropout; None where `train` is False.
        """
        rnn_key, head_key = (None, None) if key is None else jax.random.split(key)
        grid = self.cnn_norm(self.cnn_token(self.cnn(image, train=train)))  # [b, n, d]
        steps, mask = self.rnn(points, length, train=train, key=rnn_key)
        steps = self.rnn_norm(self.rnn_token(steps))  # [b, t, d]
        tokens = jnp.concatenate([grid, steps], axis=1)
        seen = jnp.concatenate([jnp.ones(grid.shape[:2], bool), mask], axis=1)
        feature, weights = self.pool(tokens, seen)
        kept = self.dropout(feature, deterministic=not train, rngs=head_key)
        branches = (
            self.cnn_head(jnp.mean(grid, axis=1)),
            self.rnn_head(masked_mean(steps, mask)),
        )
        return Output(self.head(kept), feature, branches, weights)


def masked_mean(tokens: Array, mask: Array) -> Array:
    """Mean [b, d] of the tokens [b, t, d] that are real; zero where none is."""
    total = jnp.sum(jnp.where(mask[..., None], tokens, 0), axis=1)
    return total / jnp.maximum(jnp.sum(mask, axis=1), 1)[:, None]
