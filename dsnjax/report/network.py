"""The config of a run in, its network as a drawing out: Figure 6 of the paper."""

import html
import math
from collections.abc import Sequence

import jax

from dsnjax import config as schema
from dsnjax import state

WIDTH, HEIGHT, GAP = 210, 40, 16  # of a box, and between boxes, in units of the drawing
Box = tuple[str, str]  # what it is, and its sizes


def svg(run: schema.Config, categories: int) -> str:
    """The network from its inputs at the top to its loss, as the text of an `<svg>`."""
    model, weights = run.model, count(run, categories)
    columns = []
    if model.branches != "rnn":
        columns.append(image_branch(run, weights))
    if model.branches != "cnn":
        columns.append(point_branch(run, weights))
    rows = max(map(len, columns))
    width = len(columns) * (WIDTH + GAP) + GAP
    parts = []
    for number, boxes in enumerate(columns):
        left = GAP + number * (WIDTH + GAP)
        parts += stack(boxes, left, rows - len(boxes))
    middle = (width - WIDTH) / 2
    below = stack(shared(run, categories, weights), middle, rows)
    for number in range(len(columns)):
        x = GAP + number * (WIDTH + GAP) + WIDTH / 2
        parts.append(line(x, top(rows) - GAP, middle + WIDTH / 2, top(rows)))
    height = top(rows + len(shared(run, categories, weights)))
    head = f'<svg class="chart" role="img" aria-label="The network" viewBox="0 0 {width} {height}"'
    font = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11"'
    return "".join([f"{head} {font}>", *parts, *below, "</svg>"])


def count(run: schema.Config, categories: int) -> dict[str, int]:
    """Weights by the first name of their path, from the network itself; nothing is computed."""
    network = state.network(run.model, run.data, categories)
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    found: dict[str, int] = {}
    for path, leaf in params.items():
        name = path.partition("/")[0]
        found[name] = found.get(name, 0) + math.prod(leaf.shape)
    return found


def image_branch(run: schema.Config, weights: dict[str, int]) -> list[Box]:
    """Boxes from the image on."""
    cnn, size = run.model.cnn, run.data.image_size
    kind = {"plain": "plain convolutions", "light": "light residual blocks"}.get(
        cnn.block, f"{cnn.block} residual blocks"
    )
    stages = ", ".join(f"{n} x {w}" for n, w in zip(cnn.blocks, cnn.widths, strict=True))
    return [
        ("image", f"{size} x {size} x {len(run.data.levels)}"),
        (f"CNN: {kind}", f"{stages}; {weights['cnn']:,} weights"),
    ]


def point_branch(run: schema.Config, weights: dict[str, int]) -> list[Box]:
    """Boxes from the points on."""
    rnn = run.model.rnn
    convolutions = ", ".join(f"{w} over {k}" for w, k in zip(rnn.widths, rnn.kernels, strict=True))
    ways = "both directions" if rnn.bidirectional else "one direction"
    return [
        ("points", f"{run.data.length} x (dx, dy, pen)"),
        ("1-D convolutions", f"{convolutions} points"),
        (
            f"RNN: {rnn.layers} x {rnn.cell.upper()} {rnn.hidden}, {ways}",
            f"{weights['rnn']:,} weights with the convolutions",
        ),
    ]


def shared(run: schema.Config, categories: int, weights: dict[str, int]) -> list[Box]:
    """Boxes below the branches."""
    model = run.model
    head = ("FC", f"{categories} categories")
    boxes = [head]
    if model.branches == "both" and model.fusion == "tokens":
        boxes = [("attention over both branches' tokens", f"{model.heads} heads of {model.width}")]
        boxes.append(head)
    elif model.branches == "both":
        boxes = [("FC in each branch", head[1]), ("attention over the two", "weighed sum")]
    center = f" + {run.loss.alpha:g} x center loss" if run.loss.alpha else ""
    total = f"{sum(weights.values()):,} weights in all"
    return [*boxes, (f"cross entropy{center}", total)]


def top(row: int) -> int:
    """Where a row of boxes begins."""
    return GAP + row * (HEIGHT + GAP)


def stack(boxes: Sequence[Box], left: float, first: int) -> list[str]:
    """Boxes one below the other, with lines between them."""
    parts, x = [], left + WIDTH / 2
    for row, (name, sizes) in enumerate(boxes, first):
        y = top(row)
        parts.append(
            f'<rect x="{left}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="none" '
            'stroke="currentColor" stroke-opacity="0.5"/>'
            f'<g fill="currentColor" text-anchor="middle"><text x="{x}" y="{y + 17}">'
            f'{html.escape(name)}</text><text x="{x}" y="{y + 31}" font-size="9" '
            f'opacity="0.7">{html.escape(sizes)}</text></g>'
        )
        if row > first:
            parts.append(line(x, y - GAP, x, y))
    return parts


def line(x: float, y: float, to_x: float, to_y: float) -> str:
    """A line from one box to the next."""
    return f'<path d="M{x} {y}L{to_x} {to_y}" stroke="currentColor" fill="none"/>'
