import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsnjax import mesh
from dsnjax.errors import UserError

ROOT = Path(__file__).parents[1]

STEP = """
import json, sys
import jax, numpy as np
from dsnjax import config, mesh, optim, state, train
model = {"cnn": {"stem": 4, "widths": [8], "blocks": [1]}, "rnn": {"widths": [8], "kernels": [3],
         "strides": [2], "hidden": 8}, "width": 16, "heads": 2, "dropout": 0.0}
network = state.network(config.check(config.Model, model), config.Data(image_size=16), 5)
tx = optim.make(config.Optim(), 10)
devices = mesh.make()
whole, rows = mesh.replicated(devices), mesh.by_batch(devices)
rng = np.random.default_rng(0)
batch = {"image": rng.integers(0, 255, (16, 16, 16, 1), dtype=np.uint8),
         "points": rng.normal(size=(16, 8, 3)).astype(np.float32),
         "length": np.full(16, 8, np.int32), "label": np.arange(16, dtype=np.int32) % 5,
         "mask": np.ones(16, np.float32)}
now = jax.jit(lambda: state.initial(network, tx, 0), out_shardings=whole)()
step = jax.jit(train.make_train_step(network, tx, config.Loss()),
               in_shardings=(whole, rows), out_shardings=whole)
now, figures = step(now, batch)
said = {name: float(value) for name, value in figures.items()}
said |= {name: float(abs(value).sum()) for name, value in now.statistics.items()}
print(json.dumps([mesh.make().size, said]))
"""


def one_step(devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    run = subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.slow
def test_eight_devices_take_the_step_of_one():
    (one, alone), (eight, together) = one_step(1), one_step(8)
    assert (one, eight) == (1, 8)
    assert together == pytest.approx(alone, rel=1e-5)


def test_a_batch_that_does_not_divide_is_refused():
    class Eight:
        size = 8

    with pytest.raises(UserError, match=r"batch_size=12 does not divide over 8 devices; use a mul"):
        mesh.check_batch(12, Eight())  # type: ignore[arg-type]
