"""The config of a run in, its network as a drawing out: Figure 6 of the paper."""

import html
import math
from collections.abc import Sequence

import jax

from dsnjax import config as schema
from dsnjax import state

WIDTH, HEIGHT, GAP = 250, 40, 16  # of a box, and between boxes, in units of the drawing
Box = tuple[str, str]  # what it is, and its sizes
FEATURE = "feature"


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
    boxes = shared(run, categories, weights)
    below = stack(boxes, middle, rows)
    for number in range(len(columns)):
        x = GAP + number * (WIDTH + GAP) + WIDTH / 2
        parts.append(line(x, top(rows) - GAP, middle + WIDTH / 2, top(rows)))
    height = top(rows + len(boxes))
    if run.loss.alpha:
        feature = rows + [name for name, _ in boxes].index(FEATURE)
        parts.append(around(middle, feature, rows + len(boxes) - 1))
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
    kind = "plain convolutions" if cnn.block == "plain" else f"{cnn.block} blocks"
    kind += f", {cnn.groups} groups" * (cnn.groups > 1) + ", squeeze" * bool(cnn.squeeze)
    stages = ", ".join(f"{n} x {w}" for n, w in zip(cnn.blocks, cnn.widths, strict=True))
    image = f"{size} x {size} x {len(run.data.levels)}"
    boxes = [("image", image + f", in squares of {cnn.stem} x {cnn.stem}" * (cnn.stem > 1))]
    if cnn.block != "plain":
        pixels = "3 x 3" if cnn.stem else "7 x 7 by 2, max pooling"
        boxes.append(("first convolution", f"{pixels}, {cnn.widths[0]} features"))
    boxes.append((f"CNN: {kind}", f"{stages}; {weights['cnn']:,} weights"))
    if cnn.dense:
        boxes.append(("layer over the whole grid", f"{cnn.dense} features"))
    return boxes


def point_branch(run: schema.Config, weights: dict[str, int]) -> list[Box]:
    """Boxes from the points on."""
    rnn = run.model.rnn
    convolutions = ", ".join(f"{w} over {k}" for w, k in zip(rnn.widths, rnn.kernels, strict=True))
    strides = f", strides {', '.join(map(str, rnn.strides))}" if max(rnn.strides) > 1 else ""
    ways = "both directions" if rnn.bidirectional else "one direction"
    return [
        ("points", f"{run.data.length} x (dx, dy, pen)"),
        (f"1-D convolutions{strides}", f"{convolutions} points"),
        (
            f"RNN: {rnn.layers} x {rnn.cell.upper()} {rnn.hidden}, {ways}",
            f"{weights['rnn']:,} weights with the convolutions",
        ),
    ]


def shared(run: schema.Config, categories: int, weights: dict[str, int]) -> list[Box]:
    """Boxes below the branches."""
    model, loss, total = run.model, run.loss, sum(weights.values())
    head = ("FC", f"{categories} categories; {total:,} weights in all")
    grid, steps = "mean of the grid", f"{model.rnn.pool} of the steps"
    boxes = [(FEATURE, grid if model.branches == "cnn" else steps), head]
    if model.weighs_tokens:
        heads = f"{model.heads} heads of {model.width // model.heads}"
        boxes = [("attention over both branches' tokens", heads)]
        boxes += [(FEATURE, f"{model.width} numbers"), head]
    elif model.branches == "both":
        boxes = [(FEATURE, f"{grid} and {steps}, side by side")]
        boxes += [("FC in each branch", head[1]), ("attention over the two", "weighed sum")]
    center = f" + {loss.alpha:g} x center loss" if loss.alpha else ""
    own = f"+ {loss.auxiliary:g} x each branch's cross entropy" if loss.auxiliary else ""
    return [*boxes, (f"cross entropy{center}", own * (model.branches == "both"))]


def top(row: int) -> int:
    """Where a row of boxes begins."""
    return GAP + row * (HEIGHT + GAP)


def stack(boxes: Sequence[Box], left: float, first: int) -> list[str]:
    """Boxes one below the other, with lines between them."""
    parts, x = [], left + WIDTH / 2
    for row, (name, sizes) in enumerate(boxes, first):
        y = top(row)
        baseline = y + (17 if sizes else 24)
        parts.append(
            f'<rect x="{left}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="none" '
            'stroke="currentColor" stroke-opacity="0.5"/>'
            f'<g fill="currentColor" text-anchor="middle"><text x="{x}" y="{baseline}">'
            f'{html.escape(name)}</text><text x="{x}" y="{y + 31}" font-size="9" '
            f'opacity="0.7">{html.escape(sizes)}</text></g>'
        )
        if row > first:
            parts.append(line(x, y - GAP, x, y))
    return parts


def line(x: float, y: float, to_x: float, to_y: float) -> str:
    """A line from one box to the next."""
    return f'<path d="M{x} {y}L{to_x} {to_y}" stroke="currentColor" fill="none"/>'


def around(left: float, first: int, last: int) -> str:
    """A dashed line from one box past those below it to another: what center loss reads."""
    x, y, to_y = left + WIDTH, top(first) + HEIGHT / 2, top(last) + HEIGHT / 2
    return (
        f'<path d="M{x} {y}h{GAP / 2}V{to_y}h-{GAP / 2}" stroke="currentColor" fill="none" '
        'stroke-dasharray="3 2"/>'
    )
