"""Optimizer of a config: gradients in, updates out."""

import jax
import optax

from dsnjax import config


def schedule(optim: config.Optim, steps: int) -> optax.Schedule:
    """Learning rate by step: a climb to the peak, then a cosine down to zero at `steps`."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=optim.learning_rate,
        warmup_steps=round(optim.warmup * steps),
        decay_steps=max(steps, 1),
    )


def make(optim: config.Optim, steps: int) -> optax.GradientTransformation:
    """AdamW behind a clipped gradient, for a run of that many steps."""
    return optax.chain(
        optax.clip_by_global_norm(optim.clip),
        optax.adamw(schedule(optim, steps), weight_decay=optim.weight_decay, mask=_decayed),
    )


def _decayed(params: optax.Params) -> optax.Params:
    """True for what multiplies (kernels), False for what is added or scales (biases, norms)."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key in ("kernel", "recurrent"), params)
