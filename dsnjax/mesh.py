"""Devices of a run as one mesh, and how its arrays lie on it.

The mesh has two axes. The rows of a batch are spread over both. Along `fsdp` the large arrays of
the state (weights, and what the optimizer keeps of them) are spread as well; along `data` every
device holds its own copy of them.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dsnjax import config as schema
from dsnjax.errors import UserError

AXES = ("data", "fsdp")
LARGE = 2**16  # numbers; to gather a smaller array costs more time than it saves memory


def make(wanted: schema.Mesh | None = None, devices: Sequence[Any] | None = None) -> Mesh:
    """The devices, by default all of every process, as the config wants them.

    Args:
        wanted: None for a copy of the whole state on every device.

    Raises:
        UserError: `mesh.fsdp` does not divide them.
    """
    devices = jax.devices() if devices is None else devices
    fsdp = wanted.fsdp if wanted else 1
    if len(devices) % fsdp:
        raise UserError(
            f"mesh.fsdp={fsdp} does not divide {len(devices)} devices; use a divisor, "
            "or 1 for a copy of the weights on every device"
        )
    # Neighbours share the weights: devices of one machine come one after another.
    shape = (len(devices) // fsdp, fsdp)
    # Auto, said aloud: make_mesh's default became Explicit in jax 0.9.
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * 2, devices=devices)


def fitting(wanted: schema.Mesh) -> Mesh:
    """All devices as a trained state is read onto them: as much of `fsdp` as divides them."""
    return make(schema.Mesh(fsdp=math.gcd(wanted.fsdp, jax.device_count())))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Rows of a batch spread over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def laid(mesh: Mesh, shapes: Any) -> Any:
    """Shapes of a state that say how it lies; what a checkpoint is read into.

    The longest axis of each large array is spread along `fsdp`, the rest is whole.
    """
    fsdp = mesh.shape["fsdp"]

    def lies(leaf: Any) -> NamedSharding:
        fitting = [axis for axis, length in enumerate(leaf.shape) if length % fsdp == 0]
        if fsdp == 1 or leaf.size < LARGE or not fitting:
            return replicated(mesh)
        longest = max(fitting, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "fsdp"))

    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lies(leaf)), shapes
    )


def shardings(laid: Any) -> Any:
    """How each array lies, of a tree of them or of their shapes."""
    return jax.tree.map(lambda leaf: leaf.sharding, laid)


def spread(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """The global batch as arrays on all devices, of the rows that this process was given."""
    rows = by_batch(mesh)
    return {
        name: jax.make_array_from_process_local_data(rows, column) for name, column in batch.items()
    }


def own_rows(batch_size: int, mesh: Mesh) -> slice:
    """The rows of each global batch that this process's devices hold.

    Raises:
        UserError: the batch does not spread evenly.
    """
    if batch_size % mesh.size:
        raise UserError(
            f"data.batch_size={batch_size} does not divide over {mesh.size} devices; "
            f"use a multiple of {mesh.size}"
        )
    parts = by_batch(mesh).addressable_devices_indices_map((batch_size,)).values()
    places = [part[0].indices(batch_size) for part in parts]  # type: ignore[index]
    return slice(min(start for start, _, _ in places), max(stop for _, stop, _ in places))
