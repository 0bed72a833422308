import importlib
import sys
from pathlib import Path

import pytest

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
