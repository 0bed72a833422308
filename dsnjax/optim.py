"""Optimizer of a config: gradients in, updates out."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jax import Array

from dsnjax import config


def schedule(optim: config.Optim, ends: Sequence[int]) -> optax.Schedule:
    """Learning rate by step: a climb to the peak, then what the config names.

    Args:
        ends: the steps at which epochs end; the last one ends the run.
    """
    steps, peak = ends[-1], optim.learning_rate
    warmup = min(round(optim.warmup * steps), steps - 1)
    if optim.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    factor, marks = {
        "constant": (1.0, ()),
        "halving": (0.5, ends),
        "step": (optim.drop, [share * steps for share in optim.drops]),
    }[optim.schedule]

    def rate(step: Array) -> Array:
        passed = jnp.sum(step >= jnp.asarray(marks))
        return peak * factor**passed * jnp.minimum(1, step / warmup if warmup else 1)

    return rate  # type: ignore[return-value]


def make(optim: config.Optim, ends: Sequence[int]) -> optax.GradientTransformation:
    """The optimizer of a config behind a clipped gradient; `ends` as in schedule."""
    rate = schedule(optim, ends)
    decay, beta = optim.weight_decay, optim.momentum
    to_gradient = optax.add_decayed_weights(decay, mask=_decayed)
    kinds = {
        "adamw": lambda: optax.adamw(rate, b1=beta, weight_decay=decay, mask=_decayed),
        "adam": lambda: optax.chain(to_gradient, optax.adam(rate, b1=beta)),
        "sgd": lambda: optax.chain(to_gradient, optax.sgd(rate, momentum=beta)),
        "lamb": lambda: optax.lamb(rate, b1=beta, weight_decay=decay, mask=_decayed),
    }
    return optax.chain(optax.clip_by_global_norm(optim.clip), kinds[optim.kind]())


def _decayed(params: dict[str, Array]) -> dict[str, bool]:
    """True for what multiplies (kernels), False for what is added or scales (biases, norms)."""
    return {name: name.endswith(("/kernel", "/recurrent")) for name in params}
