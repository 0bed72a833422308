"""Logits and labels in, sums that add up over batches and devices; from them the figures."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

Ranks = TypeVar("Ranks", Array, np.ndarray)


def ranks(logits: Array | np.ndarray, label: Array | np.ndarray) -> Array:
    """[b] how many categories of logits [b, k] stand before the label [b] int32.

    Among equals the first stands first. Where logits are no number it is all of them, and 3 at
    least, which counts for nothing.
    """
    categories = logits.shape[-1]
    own = jnp.take_along_axis(logits, label[:, None], axis=1)
    ahead = (logits > own) | ((logits == own) & (jnp.arange(categories) < label[:, None]))
    # A NaN is never greater: without this line a broken network would be right every time.
    finite = jnp.all(jnp.isfinite(logits), axis=1)
    return jnp.where(finite, jnp.sum(ahead, axis=1), max(categories, 3))


def reciprocal(rank: Ranks) -> Ranks:
    """[b] MAP@3's summand with one true label: 1, 1/2, 1/3 for ranks 0 to 2, nothing beyond."""
    return (rank < 3) / (rank + 1.0)


def answers(logits: Array, label: Array, temperature: Array | float = 1.0) -> dict[str, Array]:
    """What the network said of each drawing, its probabilities at a temperature.

    Returns:
        `rank` [b] as `ranks` gives it; `top` [b, 3] the likeliest labels and `probability` [b, 3]
        theirs (fewer where there are fewer categories); `own` [b] the probability of the label;
        `untempered` [b] the first label's probability at temperature 1.
    """
    logits = logits.astype(jnp.float32)
    chances = jax.nn.softmax(logits / temperature)
    _, top = jax.lax.top_k(logits, min(3, logits.shape[-1]))
    return {
        "rank": ranks(logits, label),
        "top": top,
        "probability": jnp.take_along_axis(chances, top, axis=1),
        "untempered": jnp.max(jax.nn.softmax(logits), axis=1),
        "own": jnp.take_along_axis(chances, label[:, None], axis=1)[:, 0],
    }


def sums(logits: Array, label: Array, mask: Array) -> dict[str, Array]:
    """What a batch adds to the totals; a padded row adds nothing.

    Args:
        logits: [b, k].
        label: [b] int32.
        mask: [b] 1 real, 0 padding.

    Returns:
        per category [k]: `seen`, `reciprocal` (the sum of what `reciprocal` gives); `confusion`
        [k, k], row the label, column the guess; `loss`, summed.
    """
    categories = logits.shape[-1]
    logits = logits.astype(jnp.float32)
    worth = reciprocal(ranks(logits, label)) * mask
    guess = jnp.argmax(logits, axis=1)
    zeros = jnp.zeros(categories)
    return {
        "seen": zeros.at[label].add(mask),
        "reciprocal": zeros.at[label].add(worth),
        "confusion": jnp.zeros((categories, categories)).at[label, guess].add(mask),
        "loss": jnp.sum(
            optax.softmax_cross_entropy_with_integer_labels(logits, label) * mask, where=mask > 0
        ),
    }


def summary(totals: dict[str, np.ndarray], categories: Sequence[str]) -> dict[str, Any]:
    """Totals over all batches into the figures of `evaluation.json`.

    Returns:
        `map3` (mean average precision at 3), `accuracy`, `loss` in nats, `drawings`,
        `per_category` {name: {map3, accuracy, drawings}}, `confusion` [k][k] of counts with the
        label in the row, `categories`. A category without drawings has no figures.
    """
    seen = np.asarray(totals["seen"], np.float64)
    confusion = np.asarray(totals["confusion"]).round().astype(int)
    hits, scores = np.diag(confusion), np.asarray(totals["reciprocal"], np.float64)
    drawings = max(seen.sum(), 1)
    per_category = {
        name: {
            "map3": scores[label] / seen[label],
            "accuracy": hits[label] / seen[label],
            "drawings": int(seen[label]),
        }
        for label, name in enumerate(categories)
        if seen[label]
    }
    return {
        "map3": scores.sum() / drawings,
        "accuracy": hits.sum() / drawings,
        "loss": float(totals["loss"]) / drawings,
        "drawings": int(seen.sum()),
        "per_category": per_category,
        "confusion": confusion.tolist(),
        "categories": list(categories),
    }
