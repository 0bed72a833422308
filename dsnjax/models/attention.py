"""Tokens of both branches in, one feature vector out, and how much each token gave to it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array


class AttentionPool(nnx.Module):
    """Weighted sum of tokens, with learned weights for each head (section 4.4 of the paper)."""

    def __init__(self, features: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.hidden = nnx.Linear(features, features, rngs=rngs)
        self.score = nnx.Linear(features, heads, rngs=rngs)

    def __call__(self, tokens: Array, mask: Array) -> tuple[Array, Array]:
        """Sums each head's share of the features by that head's weights.

        Args:
            tokens: [b, n, d], d a multiple of the heads.
            mask: [b, n] bool, False for padding; a row without any True gives zeros.

        Returns:
            feature [b, d] and weights [b, n, heads], which sum to 1 over n.
        """
        score = self.score(jnp.tanh(self.hidden(tokens))).astype(jnp.float32)  # [b, n, heads]
        # A finite floor, not -inf: a drawing without points has no token to put weight on,
        # and a softmax over nothing but -inf is NaN.
        weights = jax.nn.softmax(jnp.where(mask[..., None], score, -1e9), axis=1)
        weights = weights * mask[..., None]
        parts = tokens.reshape(*tokens.shape[:2], self.heads, -1)
        feature = jnp.einsum("bnh,bnhd->bhd", weights.astype(tokens.dtype), parts)
        return feature.reshape(tokens.shape[0], -1), weights
