"""Tokens of both branches in, one feature under attention and its logits out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.attention import AttentionPool
from dsnjax.models.cnn import CNN
from dsnjax.models.output import Output
from dsnjax.models.resnet import ResNet
from dsnjax.models.rnn import RNN, masked_mean


class DSN(nnx.Module):
    """Deep Sketch Network (section 4.1): both branches' tokens under one attention, then FC."""

    frozen: tuple[str, ...] = ()  # parts that work as in evaluation while the others train

    def __init__(
        self,
        cnn: CNN | ResNet,
        rnn: RNN,
        model: config.Model,
        categories: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.cnn, self.rnn = cnn, rnn
        self.cnn_token = nnx.Linear(cnn.features, model.width, rngs=rngs)
        self.rnn_token = nnx.Linear(rnn.features, model.width, rngs=rngs)
        # Two branches of different scale share one softmax: each is brought to unit scale.
        self.cnn_norm = nnx.LayerNorm(model.width, rngs=rngs)
        self.rnn_norm = nnx.LayerNorm(model.width, rngs=rngs)
        self.pool = AttentionPool(model.width, model.heads, rngs=rngs)
        self.dropout = nnx.Dropout(model.dropout)
        self.head = nnx.Linear(model.width, categories, rngs=rngs)
        self.cnn_head = nnx.Linear(model.width, categories, rngs=rngs)
        self.rnn_head = nnx.Linear(model.width, categories, rngs=rngs)
        self.features = model.width

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
        trains = {part: train and part not in self.frozen for part in ("cnn", "rnn")}
        grid = self.cnn(image, train=trains["cnn"])
        grid = self.cnn_norm(self.cnn_token(grid))  # [b, n, d]
        steps, mask = self.rnn(points, length, train=trains["rnn"], key=rnn_key)
        steps = self.rnn_norm(self.rnn_token(steps))  # [b, t, d]
        tokens = jnp.concatenate([grid, steps], axis=1)
        seen = jnp.concatenate([jnp.ones(grid.shape[:2], bool), mask], axis=1)
        feature, weights = self.pool(tokens, seen)
        vectors = (feature, jnp.mean(grid, axis=1), masked_mean(steps, mask))
        feature, *own = (vector.astype(jnp.float32) for vector in vectors)
        kept = self.dropout(feature, deterministic=not train, rngs=head_key)
        branches = (self.cnn_head(own[0]), self.rnn_head(own[1]))
        return Output(self.head(kept), feature, branches, weights)
