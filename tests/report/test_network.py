import pytest

from dsnjax import config, settings
from dsnjax.report import network


@pytest.mark.parametrize(
    ("model", "shown", "hidden"),
    [
        ({}, ["CNN", "RNN", "4 heads of 256"], ["attention over the two"]),
        ({"fusion": "logits"}, ["CNN", "RNN", "attention over the two"], ["heads"]),
        ({"branches": "rnn"}, ["RNN"], ["CNN", "attention"]),
    ],
    ids=["tokens", "logits", "rnn"],
)
def test_the_drawing_shows_the_parts_that_are_there(model, shown, hidden):
    svg = network.svg(settings.check(config.Config, {"model": model}), categories=40)
    assert all(word in svg for word in [*shown, "40 categories", "0.01 x center loss"])
    assert not any(word in svg for word in hidden)


def test_weights_are_those_of_the_network():
    found = network.count(config.Config(), categories=40)
    assert found["head"] == 256 * 40 + 40
