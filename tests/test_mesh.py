import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from dsnjax import config, mesh
from dsnjax.errors import UserError

ROOT = Path(__file__).parents[1]

# One process with eight devices says everything that the tests ask: {fact: value}.
EIGHT = """
import json, re, sys
from pathlib import Path
import jax, numpy as np, optax
from dsnjax import checkpoint, config, evaluate, mesh, settings, state, step
mesh.LARGE = 64
model = {"cnn": {"stem": 4, "widths": [8], "blocks": [1]}, "rnn": {"widths": [8], "kernels": [3],
         "strides": [2], "hidden": 8}, "width": 16, "heads": 2, "dropout": 0.0}
model, data = settings.check(config.Model, model), config.Data(image_size=16, length=8)
network, tx = state.network(model, data, 5), optax.sgd(1.0, momentum=0.9)
rng = np.random.default_rng(0)
batch = {"image": rng.integers(0, 255, (16, 16, 16, 1), dtype=np.uint8),
         "points": rng.normal(size=(16, 8, 3)).astype(np.float32),
         "length": np.full(16, 8, np.int32), "label": np.arange(16, dtype=np.int32) % 5,
         "mask": (np.arange(16) % 7 > 0).astype(np.float32)}  # padding on some devices
shapes = jax.eval_shape(lambda: state.initial(network, tx, 0))

class On:
    def __init__(self, count, fsdp, parts=1):
        self.devices = mesh.make(config.Mesh(fsdp=fsdp), jax.devices()[:count])
        self.like = mesh.laid(self.devices, shapes)
        self.lies = mesh.shardings(self.like)
        optim = config.Optim(accumulate=parts)
        take = step.make_train_step(network, tx, config.Loss(), optim, 10)
        self.step = jax.jit(take, out_shardings=(self.lies, mesh.replicated(self.devices)))
        self.look = evaluate.make_eval_step(network, self.devices)

    def born(self):
        return state.once(lambda: state.initial(network, tx, 0), out_shardings=self.lies)()

    def stepped(self, now):
        # One at a time: programs that run at once on one pool of threads may wait for one another.
        return jax.block_until_ready(self.step(now, mesh.spread(batch, self.devices)))

    def looked(self, now):
        rows = mesh.spread(batch, self.devices)
        return self.look(now.params, now.statistics, rows, temperature=1.0)

def far(found, wanted):
    '''The largest distance of two trees' arrays, each beside its own largest number.

    That counts as a thirtieth of the whole tree's at least: a bias before a softmax has no
    gradient but noise.
    '''
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in
             zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)]
    least = max(np.abs(b).max() for _, b in pairs) / 30
    return float(max(np.abs(a - b).max() / max(np.abs(b).max(), least) for a, b in pairs))

on = {name: On(*size) for name, size in {"one": (1, 1), "data": (8, 1), "both": (8, 4),
                                         "two": (2, 2), "one in parts": (1, 1, 2),
                                         "data in parts": (8, 1, 2)}.items()}
born = {name: on[name].born() for name in on if name != "two"}
stepped = {name: on[name].stepped(now) for name, now in born.items()}
gradient = {name: jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), born[name].params,
                               now.params) for name, (now, _) in stepped.items()}
facts = {"axes": dict(on["both"].devices.shape)}
for name, one in (("data", "one"), ("both", "one"), ("data in parts", "one in parts")):
    (now, figures), (alone, wanted) = stepped[name], stepped[one]
    facts[name] = {
        "figures": far(figures, wanted),
        "statistics": far(now.statistics, alone.statistics),
        "gradient": far(gradient[name], gradient[one]),
        "centers": far(now.centers.mean, alone.centers.mean),
        "evaluated": far(on[name].looked(now), on[one].looked(alone)),
    }
name = "data in parts"
rows = mesh.spread(batch, on[name].devices)
compiled = on[name].step.lower(born[name], rows).compile().as_text()
facts["collectives"] = sorted(set(re.findall(r"all-\\w+|collective-\\w+", compiled)))
now = stepped["both"][0]
name = max(now.params, key=lambda name: now.params[name].size)
weight = now.params[name]
mean = now.statistics[min(now.statistics)]
facts["parts"] = {
    "weight": [weight.size, weight.addressable_shards[0].data.size],
    "momentum": [leaf.addressable_shards[0].data.size
                 for leaf in jax.tree.leaves(now.opt_state) if leaf.shape == weight.shape],
    "small": len({shard.data.shape for shard in mean.addressable_shards}),
    "rows": [shard.index[0].indices(16)[:2] for shard in
             mesh.spread(batch, on["both"].devices)["label"].addressable_shards],
}
def numbers(now):
    return jax.tree.leaves(jax.device_get(vars(now) | {"key": jax.random.key_data(now.key)}))

folder, now, facts["restored"], losses = Path(sys.argv[1]), stepped["one"][0], [], []
for name in ("both", "two", "one"):
    with checkpoint.Checkpoints(folder / name) as saved:
        saved.save(now)
    with checkpoint.Checkpoints(folder / name) as saved:
        found = saved.newest(on[name].like)
    lies = [leaf.sharding.is_equivalent_to(lie, leaf.ndim) for leaf, lie in
            zip(*map(jax.tree.leaves, (found, on[name].lies)), strict=True)]
    same = map(np.array_equal, numbers(found), numbers(now))
    facts["restored"].append(all(lies) and all(same))
    losses.append(float(on[name].stepped(found)[1]["loss"]))
    now = found
facts["losses"] = [loss / losses[-1] for loss in losses]
print(json.dumps(facts))
"""


SPREAD = """
import sys
from dsnjax import main, mesh
mesh.LARGE = 64
sys.exit(main.main(sys.argv[1:]))
"""


# Evaluates a run, and says what part of its largest weight a device held.
LOOK = """
import sys
from pathlib import Path
from dsnjax import evaluate, mesh
from dsnjax.workdir import Workdir
mesh.LARGE = 64
restore = Workdir.restore

def restored(workdir, devices):
    network, state = restore(workdir, devices)
    weight = max(state.params.values(), key=lambda leaf: leaf.size)
    print(weight.addressable_shards[0].data.size / weight.size)
    return network, state

Workdir.restore = restored
evaluate.evaluate(Workdir(Path(sys.argv[1])))
"""


def on_devices(count, program, *words):
    """What a program prints that sees so many devices."""
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=ROOT,
        env=os.environ
        | {
            # On a busy machine one of eight threads may well wait longer than XLA's 40 s.
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"
            " --xla_cpu_collective_call_terminate_timeout_seconds=300",
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What the process with eight devices says."""
    return json.loads(on_devices(8, EIGHT, tmp_path_factory.mktemp("eight")))


@pytest.mark.slow
@pytest.mark.parametrize("lies", ["data", "both", "data in parts"])
@pytest.mark.parametrize("what", ["figures", "statistics", "gradient", "centers", "evaluated"])
def test_eight_devices_take_the_step_of_one(eight, lies, what):
    assert eight[lies][what] < 1e-5


@pytest.mark.slow
def test_a_batch_in_parts_moves_no_drawing_to_another_device(eight):
    assert eight["collectives"] == ["all-reduce"]


@pytest.mark.slow
def test_fsdp_spreads_large_weights_and_their_momentum_and_keeps_the_small_whole(eight):
    assert eight["axes"] == {"data": 2, "fsdp": 4}
    whole, part = eight["parts"]["weight"]
    assert part == whole // 4
    assert set(eight["parts"]["momentum"]) == {part}
    assert eight["parts"]["small"] == 1


@pytest.mark.slow
def test_rows_of_a_batch_lie_in_order_over_both_axes(eight):
    assert eight["parts"]["rows"] == [[start, start + 2] for start in range(0, 16, 2)]


@pytest.mark.slow
def test_a_checkpoint_of_one_device_is_read_by_eight_then_two_then_one(eight):
    assert eight["restored"] == [True] * 3
    assert eight["losses"] == pytest.approx([1, 1, 1], rel=1e-5)


@pytest.mark.slow
def test_a_run_whose_weights_lie_on_two_devices_is_the_run_of_one(trained, tmp_path):
    words = ["train", "--config", trained / "config.yaml", "--mesh.fsdp", "2"]
    on_devices(2, SPREAD, *words, "--workdir", tmp_path / "run")
    found, wanted = (
        json.loads((folder / "evaluation.json").read_text())
        for folder in (tmp_path / "run", trained)
    )
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)
    assert found["confusion"] == wanted["confusion"]
    for count, share in ((2, 1 / 2), (3, 1)):
        assert float(on_devices(count, LOOK, tmp_path / "run")) == share
        looked = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        assert looked["loss"] == pytest.approx(wanted["loss"], rel=1e-4)


def test_a_batch_that_does_not_divide_is_refused():
    eight = SimpleNamespace(size=8)
    with pytest.raises(UserError, match=r"batch_size=12 does not divide over 8 devices; use a mul"):
        mesh.own_rows(12, eight)  # type: ignore[arg-type]


def test_a_single_process_holds_all_rows():
    assert mesh.own_rows(12, mesh.make(devices=jax.devices()[:1])) == slice(0, 12)


def test_fsdp_that_does_not_divide_the_devices_is_refused():
    with pytest.raises(UserError, match=r"mesh.fsdp=2 does not divide 1 devices; use a divisor"):
        mesh.make(config.Mesh(fsdp=2), jax.devices()[:1])
