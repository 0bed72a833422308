"""Numbers in, charts as SVG text out, in the colours of the page they stand in.

Text and axes are drawn in a colour that `text` turns into `currentColor`, so that one
chart is right on light and on dark pages.
"""

import html
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dsnjax import files
from dsnjax.errors import UserError, extra

with extra("report", "report"):
    import matplotlib

    matplotlib.use("Agg")
    from cycler import cycler
    from matplotlib import colors, pyplot
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

INK = "#010203"  # stands for the page's text colour until the chart is text
LINES, MARKS = ("-", ":", "-."), ("o", "s", "^")  # of eight runs each
SERIES = ("#3b82c4", "#d97742", "#4a9d6b", "#a667b8", "#c2a136", "#4aa3a8", "#c0566e", "#7d7f8c")
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 8.5,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}
MOST_BARS = 60
Line = tuple[str, Sequence[float], Sequence[float]]  # name, x, y


@contextmanager
def chart(width: float = 4.8, height: float = 2.7, **layout: Any) -> Iterator[tuple[Any, Any]]:
    """A figure of some inches and its axes."""
    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(width, height), **layout)
        try:
            yield figure, axes
        finally:
            pyplot.close(figure)


def text(figure: Any, name: str) -> str:
    """A figure as the text of an `<svg>`; `name` tells screen readers what it shows."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    used = set(re.findall(r"#([\w.-]+)[)\"]", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    head = f'<svg class="chart" role="img" aria-label="{html.escape(name)}"'
    size = re.compile(r'<svg(.*?) width="[^"]*" height="[^"]*"')
    return size.sub(lambda m: head + m[1], svg, count=1)


def alone(svg: str) -> str:
    """A chart as a file of its own, which has no page around it: black on white."""
    return svg.replace("<svg ", '<svg style="color: #222; background: #fff" ', 1)


def write(path: Path, svg: str) -> None:
    """Writes a chart as a file. Raises UserError for another ending than .svg."""
    if path.suffix != ".svg":
        raise UserError(f"{path}: want a file that ends in .svg")
    files.write(path, alone(svg))


def histogram(values: np.ndarray, title: str, label: str, highest: float | None = None) -> str:
    """How often values occur; those above `highest` are counted in the last bar."""
    top = highest if highest is not None else float(values.max(initial=1))
    edges = np.linspace(0, top, 41) if values.dtype.kind == "f" else whole_edges(math.ceil(top))
    with chart(4.8, 2.2) as (figure, axes):
        axes.hist(np.minimum(values, top), bins=edges, color=SERIES[0])
        axes.set(xlabel=label, ylabel="drawings")
        return text(figure, title)


def whole_edges(top: int) -> np.ndarray:
    """Edges of bars for 0 to `top`, each of equally many whole numbers: else some are tall."""
    width = math.ceil((top + 1) / MOST_BARS)
    return np.arange(0, top + width + 1, width) - 0.5


def entropies(entropy: np.ndarray, cuts: tuple[float, float], title: str) -> str:
    """Entropy histogram of one category with the filter's cuts: Figure 5 of the paper."""
    bins = np.linspace(entropy.min(), max(entropy.max(), entropy.min() + 1e-3), 61)
    inside = (cuts[0] < entropy) & (entropy < cuts[1])
    with chart(4.8, 2.7) as (figure, axes):
        kept, dropped = entropy[inside], entropy[~inside]
        axes.hist(kept, bins=bins, color=SERIES[0], label=f"{len(kept):,} kept")
        axes.hist(dropped, bins=bins, color=SERIES[1], label=f"{len(dropped):,} dropped")
        for cut, away, side in zip(cuts, (-3, 3), ("right", "left"), strict=True):
            if np.isfinite(cut):
                axes.axvline(cut, color=INK, linewidth=0.9, linestyle="--")
                axes.annotate(
                    f"{cut:.2f}",
                    (cut, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(away, -9),
                    horizontalalignment=side,
                    textcoords="offset points",
                    fontsize=8,
                )
        axes.set(xlabel="entropy of the image, bits", ylabel="drawings")
        figure.legend(loc="outside lower center", ncols=2)
        return text(figure, title)


def curves(panels: Sequence[tuple[str, Sequence[Line]]], title: str) -> str:
    """Panels above each other: (name of the axis, its lines).

    Of each name a line called `name, validation` is dashed and has the colour of `name`.
    """
    drawn = [line[0] for _, own in panels for line in own]
    names = list(dict.fromkeys(name.removesuffix(DASHED) for name in drawn))
    told = [Line2D([], [], **look(place)) for place in range(len(names))]
    if any(name.endswith(DASHED) for name in drawn):
        told.append(Line2D([], [], color=INK, linestyle="--"))
    columns = 2 if max(map(len, names), default=0) < NARROW else 1
    height = 2.1 * len(panels) + 0.17 * math.ceil(len(told) / columns)
    layout = {"nrows": len(panels), "sharex": True, "squeeze": False}
    with chart(4.8, height, **layout) as (figure, grid):
        for axes, (label, lines) in zip(grid[:, 0], panels, strict=True):
            for name, x, y in lines:
                how = look(names.index(name.removesuffix(DASHED)))
                dashed = name.endswith(DASHED)
                how |= {"linestyle": "--"} if dashed else {}
                how |= {} if dashed or len(x) < 3 else {"marker": None}
                axes.plot(x, y, linewidth=1.6 if dashed else 1.0, zorder=3 if dashed else 2, **how)
            axes.set_ylabel(label)
        grid[-1, 0].set_xlabel("step")
        legend(figure, told, [*names, DASHED.strip(", ")][: len(told)], columns)
        return text(figure, title)


def look(place: int) -> dict[str, Any]:
    """Colour, line and marks of the run at a place: no two of the first 24 look alike."""
    turn = place // len(SERIES) % len(MARKS)
    color = SERIES[place % len(SERIES)]
    return {"color": color, "linestyle": LINES[turn], "marker": MARKS[turn], "markersize": 3}


def legend(figure: Any, lines: Sequence[Any], names: Sequence[str], columns: int) -> None:
    """What lines stand for, below a chart. With names by themselves one may begin with `_`."""
    shown = [plain(name) for name in names]
    figure.legend(lines, shown, loc="outside lower center", ncols=columns)


DASHED = ", validation"
FEWEST = 10  # drawings of which an accuracy is drawn
LARGEST = 60  # square points of the dot with the most drawings
NARROW = 28  # letters of a name of which two stand beside each other


def reliability(series: Sequence[tuple[str, Sequence[dict[str, float]]]], title: str) -> str:
    """Accuracy against stated probability, one line a run: see calibration.reliability.

    The area of a dot tells how many drawings it stands for.
    """
    tall = 3.2 + 0.17 * len(series) * (len(series) > 1)
    with chart(3.6, tall) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        told = [dots(axes, rows, place) for place, (_, rows) in enumerate(series)]
        axes.set(xlabel="stated probability", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        axes.set_aspect("equal")
        if len(series) > 1:
            legend(figure, told, [name for name, _ in series], 1)
        return text(figure, title)


def dots(axes: Any, rows: Sequence[dict[str, float]], place: int) -> Any:
    """The line of the run at a place, with a dot for each row of FEWEST drawings; the line."""
    x, y, counts = (
        np.array([row[key] for row in rows if row["drawings"] >= FEWEST])
        for key in ("probability", "accuracy", "drawings")
    )
    how = look(place) | {"linewidth": 0.9, "marker": None}
    sizes = 2 + LARGEST * counts / counts.max(initial=1)
    axes.scatter(x, y, sizes, color=how["color"], marker=look(place)["marker"], alpha=0.7)
    return axes.plot(x, y, **how)[0]


MOST_AT_A_GLANCE = 60  # categories of a confusion matrix
NARROWEST = 12  # categories of one that a phone shows whole
MOST_NUMBERED = 40  # categories of one whose cells have room for a number
LEAST_NUMBERED = 0.02  # share of a row that is told by a number
SCALE = (0.01, 0.05, 0.25, 1.0)  # shares whose shades are shown
FAINTEST = 0.12  # opacity of the rarest mistake, which is seen on light and on dark pages


def confusion(counts: np.ndarray, names: Sequence[str], title: str) -> str:
    """Confusion matrix in shares of each row: in colours, in a small one also in numbers."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(min(2.6 + 0.13 * len(names), 8), 0.09 * len(names))
    size = max(5.5, min(8.5, 260 / max(len(names), 1)))
    # A phone scrolls all but small ones, any page large ones: they are read from either end.
    wide, large = len(names) > NARROWEST, len(names) > MOST_AT_A_GLANCE
    right = 0.008 * size * max(map(len, names)) if wide and not large else 0
    with chart(side + right, side + 0.3) as (figure, axes):
        image = shade(shares, SERIES[0])
        wrong = ~np.eye(len(names), dtype=bool)
        image[wrong] = shade(shares, SERIES[1])[wrong]
        axes.imshow(image, interpolation="nearest")
        axes.grid(visible=False)
        axes.set(xlabel="named", ylabel="drawn")
        if len(names) <= MOST_NUMBERED:
            for row, column in np.argwhere(shares >= LEAST_NUMBERED):
                told = f"{100 * shares[row, column]:.0f}"
                axes.text(column, row, told, ha="center", va="center", fontsize=size - 0.5)
        places, shown = range(len(names)), [plain(name) for name in names]
        axes.set_xticks(places, shown, rotation=90, fontsize=size)
        axes.set_yticks(places, shown, fontsize=size)
        axes.tick_params(top=large, labeltop=large, right=wide, labelright=wide)
        scale = [Patch(color=tuple(one)) for one in shade(np.array(SCALE), SERIES[1])]
        legend(figure, scale, [f"{share:.0%}" for share in SCALE], len(SCALE))
        return text(figure, title)


def shade(shares: np.ndarray, color: str) -> np.ndarray:
    """Colours [..., 4] of shares [...]. The square root lifts rare mistakes out of the page."""
    image = np.zeros((*shares.shape, 4))
    image[..., :3] = colors.to_rgb(color)
    image[..., 3] = np.where(shares > 0, np.maximum(np.sqrt(shares), FAINTEST), 0)
    return image


def points(names: Sequence[str], values: Sequence[Any], title: str, label: str) -> str:
    """One estimate with its interval for each name: see statistics.Estimate."""
    with chart(4.8, 0.7 + 0.24 * len(names)) as (figure, axes):
        for place, one in enumerate(values):
            color = look(place)["color"]
            axes.plot([one.low, one.high], [place, place], color=color)
            axes.plot([one.value], [place], marker="o", markersize=4, color=color)
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
        return text(figure, title)


def against(path: str, numbers: Sequence[float], panels: Mapping[str, Sequence[Any]]) -> str:
    """Estimates with their intervals against the numbers of a setting, below each other by name."""
    x = np.array(numbers, float)
    order = np.argsort(x)
    with chart(4.8, 3.8, nrows=len(panels), sharex=True) as (figure, grid):
        for axes, (label, found) in zip(grid, panels.items(), strict=True):
            value, low, high = np.array([(one.value, one.low, one.high) for one in found]).T
            axes.plot(x[order], value[order], marker="o", markersize=4, color=SERIES[0])
            axes.vlines(x, low, high, color=SERIES[0])
            axes.set_ylabel(label)
        least = np.min(np.abs(x[x != 0]), initial=np.inf)
        if np.ptp(x) >= 10 * least:  # such as learning rates; 0 has its place too
            axes.set_xscale("symlog", linthresh=least)
        axes.set_xticks(x, [f"{one:g}" for one in x])
        axes.minorticks_off()
        axes.set_xlabel(path)
        return text(figure, f"{' and '.join(panels)} by {path}, with 95 % intervals")


def plain(name: str) -> str:
    """A name from data as matplotlib shall show it: `$` begins no formula."""
    return name.replace("$", r"\$")
