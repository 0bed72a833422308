"""A state and a batch in, the next state and the step's figures out: one pure function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from dsnjax import config, losses
from dsnjax.state import Arrays, Network, TrainState

Figures = dict[str, Array]
"""Scalars by name: `loss`, its parts, `accuracy` of the batch, `gradient` (its norm)."""


class Slope(NamedTuple):
    """What a batch, or a part of one, gives at the present weights."""

    gradient: Arrays
    figures: Figures
    statistics: Arrays  # moved by it
    feature: Array  # [b, d]


def make_train_step(
    network: Network,
    tx: optax.GradientTransformation,
    loss: config.Loss,
    optim: config.Optim,
    steps: int,
) -> Callable[[TrainState, dict], tuple[TrainState, Figures]]:
    """The pure step of a run of that many steps."""
    weight = losses.center_weight(loss, steps)

    def step(now: TrainState, batch: dict) -> tuple[TrainState, Figures]:
        key = jax.random.fold_in(now.key, now.step)
        rows = losses.rows(batch["label"], batch["mask"], now.centers)
        slope = slope_at(now, network, loss, jnp.asarray(weight(now.step)))
        got = summed(slope, optim.accumulate)(now.statistics, batch, rows, key)
        moving = network.moving(now.params)
        updates, opt_state = tx.update(got.gradient, now.opt_state, moving)
        params: Any = now.params | optax.apply_updates(moving, updates)  # type: ignore[operator]
        centers = now.centers
        if loss.centers == "running":
            centers = losses.move_centers(
                centers, got.feature, rows.label, batch["mask"], loss.center_momentum
            )
        following = TrainState(
            step=now.step + 1,
            params=params,
            statistics=got.statistics,
            opt_state=opt_state,
            centers=centers,
            key=now.key,
            ema=now.ema and averaged(now.ema, (params, got.statistics), now.step, optim.ema),
        )
        return following, got.figures | {"gradient": optax.tree.norm(got.gradient)}

    return step


def slope_at(
    now: TrainState, network: Network, loss: config.Loss, alpha: Array
) -> Callable[..., Slope]:
    """The slope at a state's weights, of (statistics, batch, rows, key); frozen ones have none."""

    def objective(moving, statistics, batch, rows, key):
        params = now.params | moving
        output, moved = network.apply(params, statistics, batch, train=True, key=key)
        value, parts = losses.total(loss, alpha, output, now.centers, rows)
        hits = jnp.sum((jnp.argmax(output.logits, axis=-1) == rows.label) * rows.share)
        return value, ({"loss": value, **parts, "accuracy": hits}, moved, output.feature)

    def slope(statistics, batch, rows, key) -> Slope:
        sloping = jax.grad(objective, has_aux=True)
        gradient, others = sloping(network.moving(now.params), statistics, batch, rows, key)
        return Slope(gradient, *others)

    return slope


def summed(slope: Callable[..., Slope], parts: int) -> Callable[..., Slope]:
    """The slope of a batch, computed over one part of it after the other: the same sums.

    Batch statistics are of each part, and move with each of them.
    """
    if parts == 1:
        return slope

    def spread(column: Array) -> Array:
        # Every n-th row, not the n-th stretch: then each device has its rows of each part.
        return column.reshape(-1, parts, *column.shape[1:]).swapaxes(0, 1)

    def whole(statistics, batch, rows, key) -> Slope:
        columns = jax.tree.map(spread, (batch, rows))
        first = jax.eval_shape(slope, statistics, *jax.tree.map(lambda a: a[0], columns), key)
        nothing = jax.tree.map(
            lambda a: jnp.zeros(a.shape, a.dtype), (first.gradient, first.figures)
        )

        def add(carry, part):
            (total, statistics), (index, columns) = carry, part
            got = slope(statistics, *columns, jax.random.fold_in(key, index))
            total = jax.tree.map(jnp.add, total, (got.gradient, got.figures))
            return (total, got.statistics), got.feature

        # XLA convolves 30 times slower inside of loops on a CPU; unrolled, the parts take as much
        # memory as the whole batch there, which a CPU has.
        unroll = parts if jax.default_backend() == "cpu" else 1
        (total, statistics), features = jax.lax.scan(
            add, (nothing, statistics), (jnp.arange(parts), columns), unroll=unroll
        )
        feature = features.swapaxes(0, 1).reshape(-1, features.shape[-1])
        return Slope(total[0], total[1], statistics, feature)

    return whole


def averaged(ema: Any, new: Any, step: Array, decay: float) -> Any:
    """Running averages after a step; early on less of them stays, so that the start fades."""
    stays = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: old + (1 - stays) * (new - old), ema, new)
