"""An `init` section in, the weights that a run starts from out; and centers that stay put."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dsnjax import bundle, evaluate, losses, mesh, models, state
from dsnjax import config as schema
from dsnjax.errors import UserError
from dsnjax.state import Network, TrainState


def weights(
    config: schema.Config, network: Network, categories: tuple[str, ...]
) -> tuple[bundle.Arrays, bundle.Arrays] | None:
    """Params and statistics of the models that `init` names, fresh where they say nothing.

    A category that a model knows keeps its part of the head, a new one gets a fresh part. None
    where no model is named.

    Raises:
        UserError: no model there, one of other sizes (names the parameter and both shapes), or one
            that does not know a category whose head is frozen. CheckpointError: it is damaged.
    """
    init = config.init
    named: list[tuple[tuple[str, ...], str | None]] = [((), init.model)]  # of which all is taken
    for branch, place in (("cnn", init.cnn), ("rnn", init.rnn)):
        # Under tokens a branch's own head reads other features.
        parts = (branch,) if config.model.weighs_tokens else (branch, f"{branch}_head")
        named.append((parts, place))
    # Read before any weight is drawn, which takes a while to compile.
    found = [(parts, place, bundle.find(place)) for parts, place in named if place]
    if not found:
        return None
    for parts, place, there in found:
        new = [name for name in categories if name not in there.categories]
        heads = set(models.OF_CATEGORIES) & set(init.freeze) & set(parts or init.freeze)
        if new and heads:
            raise UserError(
                f"init.freeze={min(heads)}: {place} does not know {new[0]!r}, whose part of it "
                "would stay as it was drawn; leave it out"
            )
    born = state.once(lambda: state.fresh(network, config.seed))()
    params, statistics = jax.device_get(born)
    for parts, place, there in found:
        labels = [
            (label, there.categories.index(name))
            for label, name in enumerate(categories)
            if name in there.categories
        ]
        params |= _taken(params, there.params, parts, labels, place)
        statistics |= _taken(statistics, there.statistics, parts, labels, place)
    return params, statistics


def _taken(
    fresh: bundle.Arrays,
    there: bundle.Arrays,
    parts: tuple[str, ...],
    labels: list[tuple[int, int]],
    place: str,
) -> bundle.Arrays:
    """What `fresh` takes from the arrays `there`.

    Args:
        parts: first names of what is taken; none for all.
        labels: pairs of a label here and the same category's label there.
    """
    taken = {}
    for name, leaf in fresh.items():
        first = name.partition("/")[0]
        if parts and first not in parts:
            continue
        axis = _category_axis(first, leaf)
        found = there.get(name)
        if found is not None and _beside(found, axis) == _beside(leaf, axis):
            taken[name] = found if axis is None else _by_label(leaf, found, axis, labels)
        else:
            size = "absent" if found is None else list(found.shape)
            raise UserError(
                f"init: {name} is {size} in {place}, the config wants {list(leaf.shape)}; "
                "use the --config, --model or --data values it was trained with"
            )
    return taken


def _category_axis(first: str, leaf: np.ndarray) -> int | None:
    """The axis along which the categories stand in a parameter, None where they do not."""
    if first not in models.OF_CATEGORIES:
        return None
    return 0 if first == "score" else leaf.ndim - 1


def _beside(leaf: np.ndarray, axis: int | None) -> tuple[int, ...]:
    """Shape without the axis of the categories."""
    return leaf.shape if axis is None else leaf.shape[:axis] + leaf.shape[axis + 1 :]


def _by_label(
    fresh: np.ndarray, there: np.ndarray, axis: int, labels: list[tuple[int, int]]
) -> np.ndarray:
    """The fresh array with the parts of the categories that are known there."""
    result = np.moveaxis(np.array(fresh), axis, 0)
    known = np.moveaxis(there, axis, 0)
    for here, label in labels:
        result[here] = known[label]
    return np.moveaxis(result, 0, axis)


def centers(network: Network, now: TrainState, data: Iterable[dict[str, Array]]) -> losses.Centers:
    """Mean feature of each category over some batches, as the network is now (section 4.2)."""

    whole = mesh.replicated(mesh.make())  # where each process can read them

    def step(params, statistics, batch):
        output, _ = network.apply(params, statistics, batch, train=False)
        member = jax.nn.one_hot(batch["label"], network.categories) * batch["mask"][:, None]
        return {"sum": member.T @ output.feature, "seen": jnp.sum(member, axis=0)}, {}

    totals: dict[str, Any] = evaluate.totals(jax.jit(step, out_shardings=whole), now, data)
    mean = totals["sum"] / np.maximum(totals["seen"], 1)[:, None]
    return losses.Centers(mean, (totals["seen"] > 0).astype(np.int32))
