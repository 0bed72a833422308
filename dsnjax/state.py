"""What changes while training, as one pytree; and the network as two pure functions."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from dsnjax import config, losses, models

Arrays = dict[str, Array]
"""Arrays by the path of their module, such as `cnn/blocks/0/first/kernel`."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything a step reads and moves; saved whole, so that a resumed run is the same run."""

    step: Array  # int32, steps taken
    params: Arrays
    statistics: Arrays  # of batch norm
    opt_state: optax.OptState
    centers: losses.Centers
    key: Array  # root of the run's randomness; folded with the step, never moved


@dataclass(frozen=True)
class Network:
    """A network without its weights.

    `init(key)` gives fresh params and statistics. `apply(params, statistics, batch, train=, key=)`
    gives the Output and the statistics after it, which equal those before where `train` is False.
    """

    init: Callable[[Array], tuple[Arrays, Arrays]]
    apply: Callable[..., tuple[models.Output, Arrays]]


def network(model: config.Model, categories: int) -> Network:
    """The network of a config as pure functions over flat dicts of arrays."""

    def build(key: Array):
        return nnx.split(models.build(model, categories, nnx.Rngs(key)), nnx.Param, nnx.BatchStat)

    graph, *abstract = nnx.eval_shape(build, jax.random.key(0))

    def init(key: Array) -> tuple[Arrays, Arrays]:
        _, params, statistics = build(key)
        return _flat(params), _flat(statistics)

    def apply(
        params: Arrays, statistics: Arrays, batch: Arrays, *, train: bool, key: Array | None = None
    ) -> tuple[models.Output, Arrays]:
        states = (
            _nested(like, flat) for like, flat in zip(abstract, (params, statistics), strict=True)
        )
        # Without copy=True, batch norm would write to variables of an outer trace.
        net = nnx.merge(graph, *states, copy=True)
        output = net(batch["image"], batch["points"], batch["length"], train=train, key=key)
        return output, _flat(nnx.state(net, nnx.BatchStat))

    return Network(init, apply)


def initial(network: Network, tx: optax.GradientTransformation, seed: int) -> TrainState:
    """The state before the first step. Traceable: `jax.jit(initial, ...)` bears it sharded."""
    weights, root = jax.random.split(jax.random.key(seed))
    params, statistics = network.init(weights)
    categories = params["head/kernel"].shape[1]
    features = params["head/kernel"].shape[0]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        statistics=statistics,
        opt_state=tx.init(params),
        centers=losses.no_centers(categories, features),
        key=root,
    )


def _flat(state: nnx.State) -> Arrays:
    paths, _ = jax.tree.flatten_with_path(nnx.to_pure_dict(state))
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in paths}


def _nested(like: nnx.State, flat: Arrays) -> nnx.State:
    paths, treedef = jax.tree.flatten_with_path(nnx.to_pure_dict(like))
    names = ["/".join(str(key.key) for key in path) for path, _ in paths]
    return jax.tree.unflatten(treedef, [flat[name] for name in names])
