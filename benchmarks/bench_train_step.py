"""How fast a training step is, beside the same network in PyTorch, in one run.

    python benchmarks/bench_train_step.py --json step.json --check

Both sides read the same made-up drawings, and each takes its fastest way: float32 or bfloat16, and
for PyTorch eager or compiled. A step is all of it: forward, loss, gradient, clipping and AdamW. On
a GPU every network runs at batch 256; on a CPU the large ones take fewer drawings at a time, since
a step of theirs would take half a minute.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gates
import jax
import jax.numpy as jnp
import numpy as np
from gates import at_least

from dsnjax import config, optim, settings, state
from dsnjax.data import batches, prepare, synthetic
from dsnjax.data.store import Store
from dsnjax.step import make_train_step

GPU = jax.default_backend() != "cpu"
PRESETS = ("dsn_small", "cnn", "rnn", "resnet50", "dsn")
LARGE = PRESETS[1:]  # take LARGE_BATCH drawings on a CPU
BATCH, LARGE_BATCH, ROOFLINE_BATCH = 256, 32, 1024
WANTED = {"dsn_small": 0.6} if not GPU else dict.fromkeys(PRESETS, 1.0)
END_TO_END = 0.95
SHOWN = 10  # kinds of operations
ROUND = 1.0  # seconds
KERNEL = re.compile(r"[<(]|_[bt]?f\d\d")  # what follows in a kernel's name is how, not what
TRIED = 2  # steps of each way, to know how many make a round

Way = Callable[[int], int]
"""Takes the steps of a round; how many drawings they were."""


def main() -> int:
    parser = gates.options("How fast a training step is, beside PyTorch's")
    parser.add_argument("--presets", nargs="+", metavar="NAME", help="or YAML files")
    parser.add_argument("--batch", type=int, metavar="N", help="drawings in a step")
    chosen = parser.parse_args()
    print(f"{gates.machine()}; {jax.devices()[0].device_kind}; jax {jax.__version__}")
    presets = chosen.presets or (PRESETS[:1] if chosen.quick else PRESETS)
    with tempfile.TemporaryDirectory() as folder:
        store = made_up(Path(folder))
        found = [gate for name in presets for gate in race(name, store, chosen)]
        found += [end_to_end(name, store, chosen) for name in presets if name not in LARGE]
        if GPU and not chosen.quick:
            for name in ("resnet50", "dsn"):
                roofline(at_size(name, ROOFLINE_BATCH, "bfloat16"), store)
    return gates.finish(chosen, found)


def made_up(folder: Path) -> Store:
    """A store of made-up drawings."""
    synthetic.write(folder / "drawings", 200, seed=0)
    prepare.prepare([folder / "drawings"], folder / "store", synthetic.categories(), jobs=1)
    return Store.open(folder / "store")


def at_size(preset: str, batch: int, dtype: str) -> config.Config:
    """A preset at a batch size, computing in a dtype."""
    values = settings.load(preset)
    settings.put(values, "data.batch_size", batch)
    settings.put(values, "model.dtype", dtype)
    return settings.check(config.Config, values)


def batch_size(preset: str, chosen: argparse.Namespace) -> int:
    if chosen.batch or chosen.quick:
        return chosen.batch or 64
    return LARGE_BATCH if preset in LARGE and not GPU else BATCH


class Ours:
    """The step that dsnjax trains with."""

    def __init__(self, run: config.Config, store: Store):
        network = state.network(run.model, run.data, len(store.categories))
        tx = optim.make(run.optim, [10_000])
        self.now = state.once(lambda: state.initial(network, tx, run.seed))()
        self.batch = jax.device_put(drawn(run, store))
        step = make_train_step(network, tx, run.loss, run.optim, 10_000)
        self.compiled = jax.jit(step, donate_argnums=0).lower(self.now, self.batch).compile()

    def take(self, steps: int) -> None:
        """Trains on one batch over and over."""
        for _ in range(steps):
            self.now, _ = self.compiled(self.now, self.batch)
        jax.block_until_ready(self.now)


def drawn(run: config.Config, store: Store) -> dict[str, np.ndarray]:
    """One batch as the network is shown it."""
    rows = np.random.default_rng(0).permutation(len(store))[: run.data.batch_size]
    return batches.draw(store, rows, run.data)


def race(preset: str, store: Store, chosen: argparse.Namespace) -> list[gates.Gate]:
    """Prints how a preset's step compares, and where ours spends its time."""
    size, rounds = batch_size(preset, chosen), 3 if chosen.quick else 7
    ours = fastest(our_ways(preset, size, store, chosen.quick))
    theirs = gates.rival("torch", lambda: fastest(torch_ways(preset, size, store, chosen.quick)))
    rivals = {f"dsnjax, {ours[0]}": ours[1]}
    if theirs:
        rivals[f"PyTorch, {theirs[0]}"] = theirs[1]
    seconds = gates.take_turns(rivals, rounds)
    rows = [(name, size, f"{1 / min(times):,.0f}") for name, times in seconds.items()]
    gates.show(f"{preset}: one step", ("", "drawings in a step", "drawings/s, best"), rows)
    if not chosen.quick:
        spent(preset, size, ours[0], store)
    if not theirs:
        return []
    mine, other = seconds.values()
    ratio = gates.times_faster(other, mine)
    print(f"\ndsnjax / PyTorch: {ratio:.2f}")
    wanted = WANTED.get(preset)
    return [at_least(f"step_vs_torch_{preset}", ratio, wanted)] if wanted else []


def our_ways(preset: str, size: int, store: Store, quick: bool) -> Iterator[tuple[str, Way]]:
    for dtype in ("float32",) if quick else ("float32", "bfloat16"):
        ours = Ours(at_size(preset, size, dtype), store)
        yield dtype, timed(ours.take, size)


def torch_ways(preset: str, size: int, store: Store, quick: bool) -> Iterator[tuple[str, Way]]:
    import torch
    import torch_networks

    device = "cuda" if GPU else "cpu"
    run = at_size(preset, size, "float32")
    for how in ("eager",) if quick else ("eager", "compiled"):
        for dtype in ("float32", "bfloat16"):
            kind = f"{dtype} {how}"
            rival = torch_networks.Trainer(run, len(store.categories), device, kind)
            batch = rival.put(drawn(run, store))

            def take(steps: int, rival=rival, batch=batch) -> None:
                for _ in range(steps):
                    rival.step(batch)
                if GPU:
                    torch.cuda.synchronize()

            yield kind, timed(take, size)


def timed(take: Callable[[int], None], size: int) -> Way:
    """Takes as many steps in a round as fill it, whatever a step takes."""
    take(1)  # compiles
    start = time.perf_counter()
    take(TRIED)
    steps = max(1, round(ROUND * TRIED / (time.perf_counter() - start)))

    def rival(_: int) -> int:
        take(steps)
        return steps * size

    return rival


def fastest(ways: Iterator[tuple[str, Way]]) -> tuple[str, Way]:
    """The way with the least seconds a drawing, tried a moment each."""
    tried = []
    for name, way in ways:
        start = time.perf_counter()
        drawings = way(0)
        tried.append(((time.perf_counter() - start) / drawings, name, way))
    _, name, way = min(tried, key=lambda one: one[0])
    return name, way


def spent(preset: str, size: int, dtype: str, store: Store) -> None:
    """Prints which kinds of operations a step of ours spends its time in."""
    ours = Ours(at_size(preset, size, dtype), store)
    ours.take(1)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            ours.take(TRIED)
        (file,) = Path(folder).rglob("*.xplane.pb")
        total = operations(jax.profiler.ProfileData.from_file(str(file)))
    everything = sum(total.values())
    rows = [(name, ns / 1e6 / TRIED, ns / everything) for name, ns in total.most_common(SHOWN)]
    head = ("kind", "ms" if GPU else "ms of a core", "share")
    gates.show(f"{preset}: operations of a step", head, rows)


def operations(profile: Any) -> collections.Counter[str]:
    """Nanoseconds by kind of operation, over all threads or streams."""
    total: collections.Counter[str] = collections.Counter()
    for plane in profile.planes:
        for line in plane.lines:
            if ("Stream" if GPU else "XLAEigen") in line.name:
                for event in line.events:
                    name = re.sub(r"[._\d]+$", "", KERNEL.split(event.name)[0])
                    if not re.match(r"Thunk|Slinky|while|call|end: |Thread", name):
                        total[name] += int(event.duration_ns)
    return total


def end_to_end(preset: str, store: Store, chosen: argparse.Namespace) -> gates.Gate:
    """Prints what is left of the step's speed when the real loader feeds it."""
    run = at_size(preset, size := batch_size(preset, chosen), "float32")
    alone, fed = Ours(run, store), Ours(run, store)
    rows = np.arange(len(store))
    count = 20 if GPU else 2
    with closing(batches.training(store, rows, run.data, run.seed, 0)) as data:

        def loaded(_: int) -> int:
            for batch in itertools.islice(data, count):
                fed.now, _ = fed.compiled(fed.now, jax.device_put(batch))
            jax.block_until_ready(fed.now)
            return count * size

        def step(_: int) -> int:
            alone.take(count)
            return count * size

        rivals = {"the step alone": step, "with the loader": loaded}
        seconds = gates.take_turns(rivals, 3 if chosen.quick else 9)
    rows = [(name, f"{1 / min(times):,.0f}") for name, times in seconds.items()]
    gates.show(f"{preset}: end to end", ("", "drawings/s, best"), rows)
    ratio = gates.times_faster(seconds["the step alone"], seconds["with the loader"])
    return at_least("end_to_end", ratio, END_TO_END)


def roofline(run: config.Config, store: Store) -> None:
    """Prints a step's flops and bytes, and how far this device is used by them.

    The peaks are those that this device reaches in one large matrix product and one large copy.
    """
    ours = Ours(run, store)
    cost = ours.compiled.cost_analysis()
    flops, moved = cost["flops"], cost["bytes accessed"]
    ours.take(2)
    start = time.perf_counter()
    ours.take(10)
    seconds = (time.perf_counter() - start) / 10
    compute, memory = peaks(run.model.dtype)
    bound = max(flops / compute, moved / memory)
    rows = [
        ("flops", f"{flops:.3g}", f"{flops / seconds / compute:.0%} of {compute / 1e12:.1f} TF/s"),
        ("bytes", f"{moved:.3g}", f"{moved / seconds / memory:.0%} of {memory / 1e9:.0f} GB/s"),
        ("seconds", f"{seconds:.4f}", f"{bound / seconds:.0%} of the roofline"),
    ]
    title = f"batch {run.data.batch_size} in {run.model.dtype}: {run.model.cnn.block} CNN, "
    gates.show(f"{title}branches {run.model.branches}", ("a step", "", "used"), rows)


def peaks(dtype: str) -> tuple[float, float]:
    """Flops and bytes a second that this device reaches."""
    side = 8192 if GPU else 1024
    square = jnp.ones((side, side), dtype)
    long = jnp.ones(side * side * 4, jnp.float32)
    product, copy = jax.jit(lambda a: a @ a), jax.jit(lambda a: a + 1)
    return (
        2 * side**3 / best_of(lambda: product(square)),
        2 * long.nbytes / best_of(lambda: copy(long)),
    )


def best_of(act: Callable[[], Any], times: int = 10) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(act())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    raise SystemExit(main())
