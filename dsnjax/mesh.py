"""Devices of this run as one mesh, and how arrays lie on it."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dsnjax.errors import UserError


def make() -> Mesh:
    """All devices on one axis, `data`."""
    # Auto, said aloud: make_mesh's default became Explicit in jax 0.9.
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Rows of a batch spread over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raises UserError where a batch does not spread evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"data.batch_size={batch_size} does not divide over {mesh.size} devices; "
            f"use a multiple of {mesh.size}"
        )
