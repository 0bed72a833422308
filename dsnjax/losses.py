"""Logits and features of a batch in, one loss out; and the centers a batch leaves behind."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from dsnjax import config
from dsnjax.models import Output


class Centers(NamedTuple):
    """Running mean feature of each category."""

    mean: Array  # [k, d] float32
    seen: Array  # [k] int32 batches that moved it


def no_centers(categories: int, features: int) -> Centers:
    """Centers before the first batch."""
    return Centers(jnp.zeros((categories, features)), jnp.zeros(categories, jnp.int32))


def cross_entropy(logits: Array, label: Array, mask: Array, smoothing: float = 0.0) -> Array:
    """Mean over the real rows, in nats; `smoothing` of each label is spread over all categories.

    Args:
        logits: [b, k].
        label: [b] int32.
        mask: [b] 1 real, 0 padding.
    """
    target = optax.smooth_labels(jax.nn.one_hot(label, logits.shape[-1]), smoothing)
    loss = optax.softmax_cross_entropy(logits.astype(jnp.float32), target)
    return jnp.sum(loss * mask) / jnp.maximum(jnp.sum(mask), 1)


def center_loss(feature: Array, centers: Centers, label: Array, mask: Array) -> Array:
    """Mean squared distance of each feature to its category's center (section 4.3, l2).

    Args:
        feature: [b, d] the vector the head reads.
        centers: no gradient flows here; a category not seen yet pulls nothing.
        label: [b] int32.
        mask: [b] 1 real, 0 padding.
    """
    gap = feature.astype(jnp.float32) - jax.lax.stop_gradient(centers.mean)[label]  # [b, d]
    mask = mask * (centers.seen[label] > 0)
    return jnp.sum(jnp.sum(gap**2, axis=-1) * mask) / jnp.maximum(jnp.sum(mask), 1)


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
    loss: config.Loss, output: Output, centers: Centers, label: Array, mask: Array
) -> tuple[Array, dict[str, Array]]:
    """The loss that is trained on (section 4.3), and its parts by name.

    Returns:
        a scalar, and `cross_entropy`, `center` and `branches` (the branches' own losses, summed).
    """
    smoothing = loss.label_smoothing
    parts = {
        "cross_entropy": cross_entropy(output.logits, label, mask, smoothing),
        "center": center_loss(output.feature, centers, label, mask),
        "branches": sum(
            (cross_entropy(logits, label, mask, smoothing) for logits in output.branches),
            start=jnp.zeros(()),
        ),
    }
    value = parts["cross_entropy"] + loss.auxiliary * parts["branches"]
    # Not multiplied by zero: the square of a wild feature times zero can still be NaN.
    return (value + loss.alpha * parts["center"] if loss.alpha else value), parts
