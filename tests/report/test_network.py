import pytest

from dsnjax import config, settings
from dsnjax.report import network


@pytest.mark.parametrize(
    ("model", "shown", "hidden"),
    [
        ({}, ["CNN", "RNN", "4 heads of 64", "256 numbers"], ["attention over the two"]),
        ({"fusion": "logits"}, ["CNN", "RNN", "attention over the two", "side by"], ["heads"]),
        ({"branches": "rnn"}, ["RNN", "mean of the steps"], ["CNN", "attention", "each branch"]),
        ({"branches": "cnn"}, ["CNN", "mean of the grid"], ["RNN", "attention", "each branch"]),
        (
            {"cnn": {"stem": 0, "squeeze": 16}},
            ["7 x 7 by 2, max pooling, 32", "CNN: light blocks, squeeze"],
            ["squares"],
        ),
        (
            {"cnn": {"block": "plain", "stem": 4, "dense": 4096}},
            ["in squares of 4 x 4", "layer over the whole grid", "4096 features"],
            ["first convolution"],
        ),
        ({"rnn": {"strides": [1, 2, 2]}}, ["1-D convolutions, strides 1, 2, 2"], []),
    ],
    ids=["tokens", "logits", "rnn", "cnn", "stem", "dense", "strides"],
)
def test_the_drawing_shows_the_parts_that_are_there(model, shown, hidden):
    svg = network.svg(settings.check(config.Config, {"model": model}), categories=40)
    assert all(word in svg for word in [*shown, "40 categories", "0.01 x center loss"])
    assert not any(word in svg for word in hidden)


def test_the_drawing_tells_every_part_of_the_loss():
    whole = network.svg(config.Config(), categories=40)
    assert "cross entropy + 0.01 x center loss" in whole
    assert "+ 0.3 x each branch&#x27;s cross entropy" in whole
    loss = {"loss": {"alpha": 0, "auxiliary": 0}}
    bare = network.svg(settings.check(config.Config, loss), categories=40)
    assert not any(word in bare for word in ("center", "each branch", "dasharray"))


def test_weights_are_those_of_the_network():
    found = network.count(config.Config(), categories=40)
    assert found["head"] == 256 * 40 + 40
