"""A trained run and its test drawings in; what it names early, and where it looks, out."""

import math
from dataclasses import asdict
from typing import Any

import jax
import numpy as np

import raster
from dsnjax import config as schema
from dsnjax import metrics, tracking
from dsnjax.data import augment
from dsnjax.data.inputs import inputs
from dsnjax.predict import Recognizer
from dsnjax.report import statistics, strokes
from dsnjax.report.page import Markup
from dsnjax.report.run import Run

SHARES = (0.25, 0.5, 0.75, 1.0)
MOST = 2048  # test drawings that are cut off; 0.02 wide intervals, in seconds
SHOWN = 12


def unfinished(run: Run) -> list[dict[str, Any]]:
    """MAP@3 and accuracy when only the first strokes of each drawing are seen.

    Returns:
        for each of SHARES `share`, and `map3` and `accuracy` over the same drawings.
    """
    rows = run.said["row"]
    places = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST])
    packed, label = run.store.take(rows[places]), run.said["label"][places].astype(int)
    recognizer = Recognizer(run.workdir.path)
    told = []
    with tracking.bar("cutting strokes off", len(SHARES)) as bar:
        for share in bar.watched(SHARES):
            chances = recognizer.probabilities(beginning(packed, share))
            rank = np.asarray(metrics.ranks(chances, label))
            told.append(
                {
                    "share": share,
                    "map3": asdict(statistics.estimate(metrics.reciprocal(rank))),
                    "accuracy": asdict(statistics.estimate(rank == 0)),
                }
            )
    return told


def beginning(packed: raster.Packed, share: float) -> raster.Packed:
    """The first strokes of each drawing: this share of them, rounded up."""
    return augment.first_strokes(packed, np.ceil(np.diff(packed.index[:, 1]) * share))


def attention(run: Run) -> list[tuple[Markup, str]]:
    """Some test drawings, their strokes and places coloured by the attention's weights.

    Nothing for a network whose attention does not weigh tokens.
    """
    model, data = run.config.model, run.config.data
    if not model.weighs_tokens:
        return []
    rows, names = run.said["row"], run.store.categories
    places = np.sort(np.random.default_rng(1).permutation(len(rows))[:SHOWN])
    network, state = run.workdir.restore()

    @jax.jit
    def weigh(batch):
        return network.apply(*state.used, batch, train=False)[0].attention

    packed = run.store.take(rows[places])
    weights = np.asarray(weigh(inputs(packed, data))).mean(axis=-1)
    shown = []
    for drawing, own, place in zip(packed.unpack(), weights, places, strict=True):
        grid, stroke = spread(own, drawing, model.rnn, data.length)
        guess = names[run.said["top"][place, 0]]
        told = names[run.said["label"][place]]
        caption = told if told == guess else f"{told}, named {guess}"
        seen = 1 - own[: grid.size].sum()
        caption += f" ({seen:.0%} on strokes)"
        shown.append((strokes.svg(drawing, stroke.tolist(), scaled(grid)), caption))
    return shown


def spread(
    weights: np.ndarray, drawing: strokes.Drawing, rnn: schema.RNN, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of tokens [n + t] into those of places [h, w] and of strokes, 0..1.

    The image's tokens come first, row by row of a square. A token of the points belongs to the
    points it moved over; a stroke has the highest of its points' weights.
    """
    stride = math.prod(rnn.strides)
    side = math.isqrt(len(weights) - -(-length // stride))
    grid, tokens = weights[: side * side].reshape(side, side), weights[side * side :]
    ends = np.cumsum([len(stroke[0]) for stroke in drawing])
    point = np.repeat(tokens, stride)[:length]
    parts = np.split(point, ends)[:-1]
    return grid, scaled(np.array([part.max(initial=0) for part in parts]))


def scaled(weights: np.ndarray) -> np.ndarray:
    """Weights from 0 to 1 at the highest."""
    return weights / max(float(weights.max(initial=0)), 1e-9)
