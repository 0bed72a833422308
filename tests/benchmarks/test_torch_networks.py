import importlib
import sys
from pathlib import Path

import jax
import pytest

from dsnjax import config, presets, settings, state

pytest.importorskip("torch", reason="PyTorch, the rival, is not installed")
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
torch_networks = importlib.import_module("torch_networks")

NAMES = sorted(path.stem for path in presets.folder().glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_rival_of_every_preset_has_as_many_weights(name):
    run = settings.check(config.Config, settings.load(name))
    network = state.network(run.model, run.data, 40)
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    rival = torch_networks.Network(run.model, run.data, 40)
    ours = sum(leaf.size for leaf in params.values())
    theirs = sum(one.numel() for one in rival.parameters())
    # PyTorch's recurrent layers add a bias to the state's product too; of a GRU's, ours has one
    # third, that of the new gate.
    extra = sum(one.numel() for path, one in rival.named_parameters() if "bias_hh" in path)
    spare = extra * 2 // 3 if run.model.rnn.cell == "gru" else extra
    assert theirs - spare == ours
