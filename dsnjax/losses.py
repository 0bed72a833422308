"""Logits and features of a batch in, one loss out; and the centers a batch leaves behind."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from dsnjax import config
from dsnjax.models import Output


class Centers(NamedTuple):
    """Mean feature of each category: running, or fixed before the first step."""

    mean: Array  # [k, d] float32
    seen: Array  # [k] int32 batches that moved it; 0 where there is no mean


def no_centers(categories: int, features: int) -> Centers:
    """Centers before the first batch."""
    return Centers(jnp.zeros((categories, features)), jnp.zeros(categories, jnp.int32))


class Rows(NamedTuple):
    """Each drawing's label and its weights in the mean over a batch.

    Losses are sums by these weights, so those of parts of a batch add up to the whole batch's.
    """

    label: Array  # [b] int32
    share: Array  # [b] of the cross entropy; 0 for padding, sums to 1
    pull: Array  # [b] of the center loss; 0 too where the category has no center yet


def rows(label: Array, mask: Array, centers: Centers) -> Rows:
    """The rows of a whole batch: label [b] int32, mask [b] 1 real, 0 padding."""
    pulled = mask * (centers.seen[label] > 0)
    return Rows(label, *(one / jnp.maximum(jnp.sum(one), 1) for one in (mask, pulled)))


def cross_entropy(logits: Array, rows: Rows, smoothing: float = 0.0) -> Array:
    """Weighted sum over the rows, in nats; `smoothing` of each label goes to all categories.

    Args:
        logits: [b, k].
    """
    target = optax.smooth_labels(jax.nn.one_hot(rows.label, logits.shape[-1]), smoothing)
    return jnp.sum(optax.softmax_cross_entropy(logits.astype(jnp.float32), target) * rows.share)


def center_loss(feature: Array, centers: Centers, rows: Rows) -> Array:
    """Weighted sum of squared distances of each feature to its center (section 4.3, l2).

    Args:
        feature: [b, d] the vector the head reads.
        centers: no gradient flows here.
    """
    mean = jax.lax.stop_gradient(centers.mean)
    gap = feature.astype(jnp.float32) - mean[rows.label]  # [b, d]
    return jnp.sum(jnp.sum(gap**2, axis=-1) * rows.pull)


def center_weight(loss: config.Loss, steps: int) -> optax.Schedule:
    """alpha by step: in a warm-up, features first find their places, then draw together."""
    begin = 0.0 if loss.center_warmup else loss.alpha
    return optax.linear_schedule(begin, loss.alpha, max(1, round(loss.center_warmup * steps)))


def move_centers(
    centers: Centers, feature: Array, label: Array, mask: Array, momentum: float
) -> Centers:
    """Centers after a batch: the categories in it move towards their mean feature.

    The first batches are averaged evenly, so that no center starts out at zero; from then on
    `momentum` of a center stays.
    """
    member = jax.nn.one_hot(label, centers.mean.shape[0]) * mask[:, None]  # [b, k]
    count = jnp.sum(member, axis=0)
    mean = member.T @ feature.astype(jnp.float32) / jnp.maximum(count, 1)[:, None]
    rate = jnp.maximum(1 - momentum, 1 / (centers.seen + 1)) * (count > 0)
    return Centers(
        centers.mean + rate[:, None] * (mean - centers.mean),
        centers.seen + (count > 0).astype(jnp.int32),
    )


def total(
    loss: config.Loss, alpha: Array | float, output: Output, centers: Centers, rows: Rows
) -> tuple[Array, dict[str, Array]]:
    """The loss that is trained on (section 4.3), and its parts by name.

    Args:
        alpha: weight of the center loss at this step.

    Returns:
        a scalar, and `cross_entropy` (without smoothing, as an evaluation tells it), `center` and
        `branches` (the branches' own losses, summed).
    """
    head, *own = (
        cross_entropy(logits, rows, loss.label_smoothing)
        for logits in (output.logits, *output.branches)
    )
    parts = {
        "cross_entropy": cross_entropy(output.logits, rows),
        "center": center_loss(output.feature, centers, rows),
        "branches": sum(own, start=jnp.zeros(())),
    }
    value = head + loss.auxiliary * parts["branches"]
    # Not multiplied by zero: the square of a wild feature times zero can still be NaN.
    return (value + alpha * parts["center"] if loss.alpha else value), parts
