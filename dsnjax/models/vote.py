"""Vectors of the branches in, each branch's logits and their weighted sum out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from dsnjax import config
from dsnjax.models.cnn import CNN
from dsnjax.models.output import Output
from dsnjax.models.resnet import ResNet
from dsnjax.models.rnn import RNN


class Vote(nnx.Module):
    """Each branch names the drawing by itself; attention weighs the two (figure 6 of the paper).

    One branch alone is the same network without the weighing, so a branch's parameters have the
    same names here whether it was trained alone or is joined to the other: `cnn/...` and
    `cnn_head/...`, `rnn/...` and `rnn_head/...`.
    """

    frozen: tuple[str, ...] = ()  # parts that work as in evaluation while the others train

    def __init__(
        self,
        cnn: CNN | ResNet | None,
        rnn: RNN | None,
        model: config.Model,
        categories: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.cnn, self.rnn = cnn, rnn
        self.cnn_head = nnx.Linear(cnn.features, categories, rngs=rngs) if cnn else None
        self.rnn_head = nnx.Linear(rnn.features, categories, rngs=rngs) if rnn else None
        self.dropout = nnx.Dropout(model.dropout)
        self.score = nnx.Linear(categories, 1, use_bias=False, rngs=rngs) if cnn and rnn else None
        self.features = sum(branch.features for branch in (cnn, rnn) if branch)

    def __call__(
        self, image: Array, points: Array, length: Array, *, train: bool, key: Array | None
    ) -> Output:
        """Reads a batch, as `DSN.__call__` does; what belongs to a branch it lacks is not read."""
        rnn_key, *head_keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        parts = ("cnn", "rnn", "cnn_head", "rnn_head")
        trains = {part: train and part not in self.frozen for part in parts}
        read = {}  # by each head
        if self.cnn:
            read["cnn_head"] = jnp.mean(self.cnn(image, train=trains["cnn"]), axis=1)
        if self.rnn:
            tokens, mask = self.rnn(points, length, train=trains["rnn"], key=rnn_key)
            read["rnn_head"] = self.rnn.pooled(tokens, mask)
        vectors = [vector.astype(jnp.float32) for vector in read.values()]
        logits = []
        for name, vector, noise in zip(read, vectors, head_keys, strict=False):
            kept = self.dropout(vector, deterministic=not trains[name], rngs=noise)
            logits.append(getattr(self, name)(kept))
        feature = jnp.concatenate(vectors, axis=-1)
        if not self.score:
            return Output(logits[0], feature, (), None)
        # As log-probabilities the branches speak on one scale, and one score reads both.
        said = jax.nn.log_softmax(jnp.stack(logits, axis=1))  # [b, 2, k]
        weights = jax.nn.softmax(self.score(said), axis=1)  # [b, 2, 1]
        return Output(jnp.sum(weights * said, axis=1), feature, tuple(logits), weights)
