import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from dsnjax import config, models, presets, settings, state

torch = pytest.importorskip("torch", reason="PyTorch, the rival, is not installed")
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


@pytest.mark.parametrize("name", NAMES)
def test_the_branches_of_every_rival_give_as_many_tokens(name):
    """So that none strides or pools more than ours, which would cost no weight and much time."""
    run = settings.check(config.Config, settings.load(name))
    side, channels, length = run.data.image_size, len(run.data.levels), run.data.length

    def tokens(key):
        net = models.build(run.model, run.data, 40, nnx.Rngs(key))
        image, points = jnp.zeros((2, side, side, channels)), jnp.zeros((2, length, 3))
        lengths = jnp.full(2, length)
        return (
            net.cnn and net.cnn(image, train=False),
            net.rnn and net.rnn(points, lengths, train=False, key=None)[0],
        )

    ours = [found and found.shape for found in jax.eval_shape(tokens, jax.random.key(0))]
    rival = torch_networks.Network(run.model, run.data, 40).eval()
    image, points = torch.zeros(2, channels, side, side), torch.zeros(2, length, 3)
    theirs = [rival.cnn and rival.cnn(image), rival.rnn and rival.rnn(points)]
    assert ours == [found if found is None else tuple(found.shape) for found in theirs]
