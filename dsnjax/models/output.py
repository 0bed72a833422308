"""What every network says of a batch of drawings."""

from typing import NamedTuple

from jax import Array


class Output(NamedTuple):
    """What the network says of a batch, and what it looked at.

    logits [b, k] name the drawing. They and the feature are float32 in every network.

    feature [b, d] is the vector that the head reads and that center loss pulls: with fusion
    `tokens` the attention's sum over the tokens of both branches; with fusion `logits` the
    branches' vectors side by side, the CNN's first ("right before FC", section 4.3 of the paper);
    in a network of one branch that branch's vector.

    branches are the logits [b, k] of each branch alone, the CNN's first; empty where the network
    has one branch, whose logits are the network's.

    attention [b, n + t, heads] weighs the CNN's tokens, row by row, then the RNN's, with fusion
    `tokens`; [b, 2, 1] weighs the two branches with fusion `logits`; None in a network of one.
    """

    logits: Array
    feature: Array
    branches: tuple[Array, ...]
    attention: Array | None
