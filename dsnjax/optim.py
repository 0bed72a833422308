"""Optimizer of a config: gradients in, updates out."""

import optax
from jax import Array

from dsnjax import config


def schedule(optim: config.Optim, steps: int) -> optax.Schedule:
    """Learning rate by step: a climb to the peak, then a cosine down to zero at `steps`."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=optim.learning_rate,
        warmup_steps=min(round(optim.warmup * steps), steps - 1),
        decay_steps=steps,
    )


def make(optim: config.Optim, steps: int) -> optax.GradientTransformation:
    """AdamW behind a clipped gradient, for a run of that many steps."""
    return optax.chain(
        optax.clip_by_global_norm(optim.clip),
        optax.adamw(schedule(optim, steps), weight_decay=optim.weight_decay, mask=_decayed),
    )


def _decayed(params: dict[str, Array]) -> dict[str, bool]:
    """True for what multiplies (kernels), False for what is added or scales (biases, norms)."""
    return {name: name.endswith(("/kernel", "/recurrent")) for name in params}
