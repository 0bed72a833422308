"""What changes while training, as one pytree; and the network as two pure functions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from dsnjax import config, losses, models

Arrays = dict[str, Array]
"""Arrays by the path of their module, such as `cnn/blocks/0/first/kernel`."""


once = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""`jax.jit` for what runs once, as drawing fresh weights does: to optimize it takes longer."""


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
    ema: tuple[Arrays, Arrays] | None = None  # running averages of params and statistics

    @property
    def used(self) -> tuple[Arrays, Arrays]:
        """The params and statistics to evaluate and use: their averages, where they are kept."""
        return self.ema or (self.params, self.statistics)


@dataclass(frozen=True)
class Network:
    """A network without its weights.

    `init(key)` gives fresh params and statistics, float32 whatever the network computes in.
    `apply(params, statistics, batch, train=, key=)` gives the Output and the statistics after
    it, which equal those before where `train` is False.
    """

    init: Callable[[Array], tuple[Arrays, Arrays]]
    apply: Callable[..., tuple[models.Output, Arrays]]
    categories: int
    features: int  # of Output.feature
    frozen: tuple[str, ...] = ()  # first names of the parameters that training leaves alone

    def moving(self, params: Arrays) -> Arrays:
        """The parameters that training moves."""
        return {
            name: leaf for name, leaf in params.items() if name.partition("/")[0] not in self.frozen
        }


def network(
    model: config.Model, data: config.Data, categories: int, frozen: tuple[str, ...] = ()
) -> Network:
    """The network of a config as pure functions over flat dicts of arrays.

    Args:
        data: what images it will read: their size and channels.
        categories: how many it names.
        frozen: parts that training leaves alone, their batch statistics too.
    """

    def build(key: Array) -> models.DSN | models.Vote:
        net = models.build(model, data, categories, nnx.Rngs(key))
        net.frozen = frozen
        return net

    shapes = nnx.eval_shape(build, jax.random.key(0))
    graph, *abstract = nnx.split(shapes, nnx.Param, nnx.BatchStat)
    compute = jnp.dtype(model.dtype)

    def init(key: Array) -> tuple[Arrays, Arrays]:
        _, params, statistics = nnx.split(build(key), nnx.Param, nnx.BatchStat)
        return _flat(params), _flat(statistics)

    def lowered(params: Arrays) -> Arrays:
        """Weights as the network computes in them; logits, and the loss with them, are float32."""
        return {
            name: leaf if name.startswith(models.OF_CATEGORIES) else leaf.astype(compute)
            for name, leaf in params.items()
        }

    def apply(
        params: Arrays, statistics: Arrays, batch: Arrays, *, train: bool, key: Array | None = None
    ) -> tuple[models.Output, Arrays]:
        states = (
            _nested(like, flat)
            for like, flat in zip(abstract, (lowered(params), statistics), strict=True)
        )
        # Without copy=True, batch norm would write to variables of an outer trace.
        net = nnx.merge(graph, *states, copy=True)
        points = batch["points"].astype(compute)
        output = net(batch["image"], points, batch["length"], train=train, key=key)
        return output, _flat(nnx.state(net, nnx.BatchStat))

    return Network(init, apply, categories, shapes.features, frozen)


def fresh(network: Network, seed: int) -> tuple[Arrays, Arrays]:
    """Params and statistics of a run of that seed that starts from nothing."""
    return network.init(jax.random.split(jax.random.key(seed))[0])


def initial(
    network: Network,
    tx: optax.GradientTransformation,
    seed: int,
    weights: tuple[Arrays, Arrays] | None = None,
    *,
    ema: bool = False,
) -> TrainState:
    """The state before the first step. Traceable: `once(initial, ...)` bears it sharded.

    Args:
        weights: params and statistics to start from; None: fresh ones.
        ema: keep running averages of the weights, which begin as the weights.
    """
    params, statistics = weights or fresh(network, seed)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        statistics=statistics,
        opt_state=tx.init(network.moving(params)),
        centers=losses.no_centers(network.categories, network.features),
        key=jax.random.split(jax.random.key(seed))[1],
        ema=(params, statistics) if ema else None,
    )


def _flat(state: nnx.State) -> Arrays:
    paths, _ = jax.tree.flatten_with_path(nnx.to_pure_dict(state))
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in paths}


def _nested(like: nnx.State, flat: Arrays) -> nnx.State:
    paths, treedef = jax.tree.flatten_with_path(nnx.to_pure_dict(like))
    names = ["/".join(str(key.key) for key in path) for path, _ in paths]
    return jax.tree.unflatten(treedef, [flat[name] for name in names])
