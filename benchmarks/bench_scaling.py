"""Two CPU devices against one with the same global batch, and what eight GPUs should make of it.

Everything but the times of the CPU is calculated: the bytes of the collectives are read from the
step that XLA compiles for eight devices, with the gradient of a convolution that GPUs are given;
the rest follows from them, --gpu-step-ms and --link-gb-per-s (see docs/scale.md).
"""

import os
import re
import sys
from functools import partial
from unittest import mock

if __name__ == "__main__":  # read by jax once: eight devices on this machine, two of them timed
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    os.environ["JAX_PLATFORMS"] = "cpu"

import gates
import jax
import numpy as np

from dsnjax import config, mesh, optim, settings, state
from dsnjax.models import convolution
from dsnjax.step import make_train_step

STEPS = 1000  # of the run; no matter for what a step costs
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "f64": 8}


def collectives(text: str) -> dict[str, int]:
    """Bytes of the results of each kind of collective in a compiled step (HLO as text)."""
    found = dict.fromkeys(KINDS, 0)
    for result, kind in re.findall(
        rf"= (\(?[a-z0-9\[\],{{}}/*= ()]*?\)?) ({'|'.join(KINDS)})(?:-start)?\(", text
    ):
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", result):
            count = int(np.prod([int(side) for side in shape.split(",") if side]))
            found[kind] += BYTES.get(dtype, 4) * count
    return found


def seconds_on_links(found: dict[str, int], devices: int, bytes_per_second: float) -> float:
    """Time of the collectives in rings of that many devices.

    In a ring each device sends (n - 1) / n of what is gathered or scattered, and twice that of
    what is summed on all.
    """
    share = (devices - 1) / devices
    times = {"all-reduce": 2 * share, "reduce-scatter": share * devices, "all-gather": share}
    return sum(size * times.get(kind, share) for kind, size in found.items()) / bytes_per_second


class Steps:
    """The step of a config on some of the devices."""

    def __init__(self, run: config.Config, count: int, fsdp: int, categories: int):
        self.devices = mesh.make(config.Mesh(fsdp=fsdp), jax.devices()[:count])
        network = state.network(run.model, run.data, categories)
        tx = optim.make(run.optim, ends=(STEPS,))
        shapes = jax.eval_shape(lambda: state.initial(network, tx, 0))
        self.like = mesh.laid(self.devices, shapes)
        lies = mesh.shardings(self.like)
        self.born = state.once(lambda: state.initial(network, tx, 0), out_shardings=lies)
        self.step = jax.jit(
            make_train_step(network, tx, run.loss, run.optim, STEPS),
            out_shardings=(lies, mesh.replicated(self.devices)),
            donate_argnums=0,
        )
        self.batch = mesh.spread(drawn(run.data, categories), self.devices)

    def compiled(self) -> str:
        """HLO of the step, with the convolutions of a GPU: a CPU's gather what they read."""
        of_gpus = partial(convolution._to_kernel, groups=1)
        with mock.patch.object(convolution, "_to_kernel_by_patches", of_gpus):
            return self.step.lower(self.like, self.batch).compile().as_text()

    def timed(self, steps: int):
        """A rival for gates.take_turns."""
        self.now = self.born()

        def turn(number: int) -> int:
            for _ in range(steps):
                self.now, figures = self.step(self.now, self.batch)
            jax.block_until_ready(figures)
            return steps

        return turn


def drawn(data: config.Data, categories: int) -> dict[str, np.ndarray]:
    """A batch of noise: what is in it does not change what it costs."""
    rng = np.random.default_rng(0)
    b, side = data.batch_size, data.image_size
    return {
        "image": rng.integers(0, 255, (b, side, side, len(data.levels)), dtype=np.uint8),
        "points": rng.normal(size=(b, data.length, 3)).astype(np.float32),
        "length": rng.integers(1, data.length + 1, b, dtype=np.int32),
        "label": rng.integers(0, categories, b, dtype=np.int32),
        "mask": np.ones(b, np.float32),
    }


def main() -> int:
    parser = gates.options(__doc__.splitlines()[0])
    parser.add_argument("--config", default="dsn_small", help="preset or YAML file")
    parser.add_argument("--batch", type=int, default=256, help="drawings in a step, all devices")
    parser.add_argument("--gpu-step-ms", type=float, default=100.0, help="step of one GPU")
    parser.add_argument("--link-gb-per-s", type=float, default=100.0, help="of one GPU, one way")
    chosen = parser.parse_args()
    batch, rounds, steps = (64, 3, 1) if chosen.quick else (chosen.batch, 7, 2)
    values = settings.load(chosen.config)
    settings.put(values, "data.batch_size", batch)
    run, categories = settings.check(config.Config, values), 40

    rivals = {str(n): Steps(run, n, 1, categories).timed(steps) for n in (1, 2)}
    seconds = gates.take_turns(rivals, rounds)
    ratio = gates.times_faster(seconds["2"], seconds["1"])
    gates.show(
        f"{chosen.config}, {batch} drawings a step, on this machine's CPU",
        ("devices", "ms a step", "times one"),
        [(n, 1000 * float(np.median(seconds[n])), r) for n, r in (("1", 1.0), ("2", ratio))],
    )
    rows = []
    for fsdp in (1, 8):
        found = collectives(Steps(run, 8, fsdp, categories).compiled())
        wire = seconds_on_links(found, 8, chosen.link_gb_per_s * 1e9)
        step = chosen.gpu_step_ms / 1000
        rows.append(
            (
                fsdp,
                *(round(found[kind] / 1e6, 3) for kind in KINDS[:3]),
                round(sum(found[kind] for kind in KINDS[3:]) / 1e6, 3),
                round(1000 * wire, 3),
                round(8 * step / (step + wire), 2),
            )
        )
    gates.show(
        f"Eight devices, calculated for a step of {chosen.gpu_step_ms} ms a GPU and "
        f"{chosen.link_gb_per_s} GB/s a link, nothing overlapped",
        ("fsdp", "all-reduce MB", "all-gather MB", "reduce-scatter MB", "others MB", "ms", "times"),
        rows,
    )
    gate = gates.at_most("two CPU devices, times one", ratio, 1.15)
    return gates.finish(chosen, [gate])


if __name__ == "__main__":
    sys.exit(main())
