import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from dsnjax import config, settings, state

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
scaling = importlib.import_module("bench_scaling")

# Lines as XLA prints them; operands and the results of other instructions are no traffic.
STEP = """
  %sum = f32[] all-reduce(%loss), channel_id=1, to_apply=%add
  %sums = (f32[10]{0}, bf16[20,2]{1,0}, /*index=2*/s32[]) all-reduce(f32[10]{0} %a, %b, %c)
  %begun = f32[8]{0} all-reduce-start(%d), channel_id=3
  %done = f32[8]{0} all-reduce-done(%begun)
  %whole = f32[8,4]{1,0} all-gather(f32[1,4]{1,0} %e), dimensions={0}
  %part = f32[2,4]{1,0} reduce-scatter(f32[16,4]{1,0} %f)
  %moved = u8[6]{0} collective-permute(%g)
  %other = f32[99]{0} add(%all-reduce.1, %h), metadata={op_name="all-gather"}
"""


def test_bytes_of_collectives_are_those_of_their_results():
    assert scaling.collectives(STEP) == {
        "all-reduce": 4 + (4 * 10 + 2 * 40 + 4) + 4 * 8,
        "all-gather": 4 * 32,
        "reduce-scatter": 4 * 8,
        "all-to-all": 0,
        "collective-permute": 6,
    }


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-reduce", 2 * 0.75),  # scattered, then gathered
        ("all-gather", 0.75),  # the result has all four parts, one of them is here
        ("reduce-scatter", 3),  # the result is one part, three others are sent
        ("all-to-all", 0.75),
    ],
)
def test_a_ring_of_four_sends_so_many_times_the_bytes_of_a_result(kind, sent):
    assert scaling.seconds_on_links({kind: 1000}, 4, 1000) == sent


def test_times_of_all_kinds_add_up_and_one_device_sends_nothing():
    found = {"all-reduce": 800, "all-gather": 400}
    assert scaling.seconds_on_links(found, 2, 100) == 8 + 2
    assert scaling.seconds_on_links(found, 1, 100) == 0


SMALL = """
data: {image_size: 16, length: 8}
model: {branches: cnn, cnn: {stem: 4, widths: [64], blocks: [1]}}
"""


@pytest.mark.slow
def test_eight_devices_sum_the_gradient_and_hardly_more(tmp_path):
    file, told = tmp_path / "small.yaml", tmp_path / "told.json"
    file.write_text(SMALL)
    command = [sys.executable, scaling.__file__, "--quick", "--config", file, "--json", told]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (gate,) = json.loads(told.read_text())["gates"]
    assert gate["ratio"] > 0
    run = settings.check(config.Config, settings.load(str(file)))
    params, _ = jax.eval_shape(state.network(run.model, run.data, 40).init, jax.random.key(0))
    gradient = sum(4 * leaf.size for leaf in params.values()) / 1e6
    _, table = ended.stdout.split("| fsdp")
    whole = next(line for line in table.splitlines() if line.startswith("| 1 "))
    summed, *others = map(float, whole.split("|")[2:6])
    assert gradient <= summed < 1.05 * gradient
    assert others == [0, 0, 0]
