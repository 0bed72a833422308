"""How fast and how faithful `raster` draws, beside OpenCV, cairo and skia, in one run.

    python benchmarks/bench_raster.py --drawings PATH --json raster.json --check

PATH is an .ndjson file of simplified drawings, a folder of them, or a folder in the layout of the
official bucket (`full/simplified`, and `full/raw` to measure `raster.simplify`). Without it the
drawings are made up. Rivals take turns, so only ratios within a run mean something.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gates
import numba
import numpy as np
import peers
import sources
from gates import at_least, at_most

import raster

BATCH, BATCHES = 256, 16  # few drawings over and over would be learnt by the branch predictor
SIZES = (28, 64, 96, 128, 224, 256)
WHITE = np.array([255], np.uint8)
FALLING = (255 - 13 * np.arange(11)).astype(np.uint8)


def main() -> int:
    parser = gates.options("How fast and how faithful raster draws")
    parser.add_argument("--drawings", type=Path, metavar="PATH", help=sources.HELP)
    chosen = parser.parse_args()
    drawings = [row["drawing"] for row in sources.rows(chosen.drawings, BATCH * BATCHES)]
    batches = [raster.pack(drawings[i : i + BATCH]) for i in range(0, len(drawings), BATCH)]
    points = statistics.mean(len(batch.points) for batch in batches) / BATCH
    kind = chosen.drawings.name if chosen.drawings else "made-up"
    print(f"{gates.machine()}; numba {numba.__version__}")
    print(f"{len(drawings)} drawings ({kind}), {points:.0f} points each on average; one thread")
    raster.warm_up()
    rounds = 5 if chosen.quick else 15
    found = speed(batches, rounds)
    found += extras(batches, rounds)
    if not chosen.quick:
        sizes(batches, 5)
        threads(batches)
        start()
    found += faithful(drawings[:: len(drawings) // 256][:256])
    if chosen.drawings:
        found += simplified(chosen.drawings)
    return gates.finish(chosen, found)


def ours(batches: list[raster.Packed], size: int = 96, **options) -> peers.Peer:
    """All batches, so that a turn of ours takes as long as a peer's."""

    def draw(number: int) -> int:
        for batch in batches:
            images = raster.render(batch, size=size, **options)
        del images
        return sum(map(len, batches))

    return draw


# ------------------------------------------------------------------------------- speed


def speed(batches: list[raster.Packed], rounds: int) -> list[gates.Gate]:
    """At 96 pixels, thickness 2."""
    rival = peers.Peers(batches[:4], size=96, thickness=2)
    turns = gates.take_turns(
        {
            "raster": ours(batches),
            "raster, no antialiasing": ours(batches, antialias=False),
            "OpenCV": rival.opencv(),
            "OpenCV, conversion counted": rival.opencv_converting(),
            "OpenCV, no antialiasing": rival.opencv(antialias=False),
            "the paper's way": rival.paper(),
            "pycairo": rival.cairo(),
            "skia-python": rival.skia(),
            "clearing the images": rival.clearing(),
        },
        rounds,
    )
    rows = [
        (name, f"{1e6 * min(seconds):.2f}", gates.times_faster(seconds, turns["raster"]))
        for name, seconds in turns.items()
    ]
    gates.show("Images of 96 x 96, thickness 2", ("renderer", "us a drawing", "times raster"), rows)

    def against(peer: str, mine: str = "raster") -> float:
        return gates.times_faster(turns[peer], turns[mine])

    return [
        at_least("against OpenCV", against("OpenCV"), 13),
        at_least("against OpenCV, conversion counted", against("OpenCV, conversion counted"), 15),
        at_least("against pycairo", against("pycairo"), 30),
        at_least("against skia-python", against("skia-python"), 28),
        at_least("against the paper's way", against("the paper's way"), 20),
        at_least(
            "no antialiasing, against OpenCV",
            against("OpenCV, no antialiasing", "raster, no antialiasing"),
            9,
        ),
    ]


def extras(batches: list[raster.Packed], rounds: int) -> list[gates.Gate]:
    """What else a loader asks for, at 96 pixels."""
    timed = [with_times(batch) for batch in batches]
    turns = gates.take_turns(
        {
            "image": ours(batches),
            "image, darker strokes on top": ours(batches, levels=FALLING),
            "image of 2 channels": ours(timed, levels=["order", "time"]),
            "image of 3 channels": ours(timed, levels=["order", "time", "speed"]),
            "image and sequence": both(batches, lambda batch, _: raster.sequences(batch, 128)),
            "image and entropy": both(batches, lambda _, images: raster.entropy(images)),
            "image and entropy by numpy": both(batches[:1], lambda _, images: bincount(images)),
            'image, recipe="paper"': ours(batches[:1], recipe="paper"),
            'image of 28 x 28, recipe="google"': ours(batches[:4], size=28, recipe="google"),
        },
        rounds,
    )
    rows = [
        (name, f"{1e6 * min(seconds):.2f}", gates.times_faster(seconds, turns["image"]))
        for name, seconds in turns.items()
    ]
    gates.show("What else raster makes", ("what", "us a drawing", "times the image"), rows)

    def times(slow: str, fast: str = "image") -> float:
        return gates.times_faster(turns[slow], turns[fast])

    return [
        at_least(
            "image and entropy, against numpy's",
            times("image and entropy by numpy", "image and entropy"),
            6,
        ),
        at_most("image and sequence, times the image", times("image and sequence"), 1.25),
        at_most("darker strokes on top, times", times("image, darker strokes on top"), 2),
    ]


def both(batches: list[raster.Packed], then: Callable) -> peers.Peer:
    def draw(number: int) -> int:
        for batch in batches:
            images = raster.render(batch)
            made = then(batch, images)
        del images, made  # not before: freed within the loop, their memory would be mapped anew
        return sum(map(len, batches))

    return draw


def bincount(images: np.ndarray) -> np.ndarray:
    """Entropy as most write it."""
    counts = [np.bincount(image.ravel(), minlength=256) for image in images]
    shares = [count[count > 0] / images[0].size for count in counts]
    return np.array([-(share * np.log2(share)).sum() for share in shares])


def with_times(batch: raster.Packed) -> raster.Packed:
    times = np.arange(len(batch.points), dtype=np.float32) * 20
    return raster.Packed(batch.points, batch.stroke_lengths, batch.index, times)


def sizes(batches: list[raster.Packed], rounds: int) -> None:
    rows = []
    for size in SIZES:
        rival = peers.Peers(batches[:2], size=size, thickness=2)
        turns = gates.take_turns(
            {
                "raster": ours(batches, size=size),
                "OpenCV": rival.opencv(),
                "pycairo": rival.cairo(),
                "skia-python": rival.skia(),
                "clearing": rival.clearing(),
            },
            rounds,
        )
        best = [f"{1e6 * min(seconds):.2f}" for seconds in turns.values()]
        rows.append((size, *best, gates.times_faster(turns["OpenCV"], turns["raster"])))
    names = ("pixels", "raster", "OpenCV", "pycairo", "skia-python", "clearing", "times OpenCV")
    gates.show("By size, thickness 2: us a drawing", names, rows)


def threads(batches: list[raster.Packed]) -> None:
    """Threads that call the serial kernel, each on batches of its own."""
    cores = gates.cores()
    rows, alone = [], 0.0
    for count in sorted({1, 2, *range(4, cores + 1, 4), cores}):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            rate = 0.0
            for _ in range(5):
                started = time.perf_counter()
                list(pool.map(raster.render, batches * 4))
                rate = max(rate, 4 * len(batches) * BATCH / (time.perf_counter() - started))
        alone = alone or rate
        rows.append((count, f"{rate:,.0f}", rate / alone))
    gates.show(f"By threads, {cores} cores", ("threads", "drawings a second", "times one"), rows)


def start() -> None:
    """Seconds from the first import to the first picture, and what of them is numba's own."""
    ours = "import raster; raster.render(raster.pack([[[[0, 255], [0, 255]]]]))"
    numbas = "import numba; numba.njit(lambda x: x)(1)"
    with tempfile.TemporaryDirectory() as folder:
        cold = seconds_of(ours, folder)
        warm = min(seconds_of(ours, folder) for _ in range(3))
        alone = min(seconds_of(numbas, folder) for _ in range(3))
    rows = [
        ("raster, nothing compiled", cold),
        ("raster, from numba's cache", warm),
        ("numba alone: the smallest function", alone),
    ]
    gates.show("Import and first picture", ("what", "seconds"), rows)


def seconds_of(code: str, cache: str) -> float:
    timed = f"import time; begun = time.perf_counter(); {code}; print(time.perf_counter() - begun)"
    run = subprocess.run(
        [sys.executable, "-c", timed],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        check=True,
    )
    return float(run.stdout)


# -------------------------------------------------------------------------- faithfulness


@numba.njit
def cover(points, ends, fine, image, radius):
    """Share of 16 x 16 sub-pixels of each pixel within `radius` of the strokes, as 0..255."""
    size = image.shape[0]
    fine[:] = 0
    first = 0
    for end in ends:
        for i in range(first, max(end - 1, first + 1)):
            x0, y0 = points[i]
            x1, y1 = points[min(i + 1, end - 1)]
            dx, dy = x1 - x0, y1 - y0
            length2 = max(dx * dx + dy * dy, 1e-12)
            for v in range(int(16 * (min(y0, y1) - radius + 0.5)) - 1, 16 * size):
                y = (v + 0.5) / 16 - 0.5
                if y > max(y0, y1) + radius:
                    break
                for u in range(int(16 * (min(x0, x1) - radius + 0.5)) - 1, 16 * size):
                    x = (u + 0.5) / 16 - 0.5
                    if x > max(x0, x1) + radius:
                        break
                    part = min(max(((x - x0) * dx + (y - y0) * dy) / length2, 0.0), 1.0)
                    if (x - x0 - part * dx) ** 2 + (y - y0 - part * dy) ** 2 <= radius * radius:
                        fine[v, u] = 1
        first = end
    for v in range(size):
        for u in range(size):
            image[v, u] = 255 * fine[16 * v : 16 * v + 16, 16 * u : 16 * u + 16].mean()


def faithful(drawings: list) -> list[gates.Gate]:
    """Distance from exact coverage, and from the images that the recipes stand for."""
    packed = raster.pack(drawings)
    rival = peers.Peers([packed], size=96, thickness=2)
    exact = np.empty((len(drawings), 96, 96))
    fine = np.empty((96 * 16, 96 * 16), np.uint8)
    for image, strokes in zip(exact, rival.strokes[0], strict=True):
        ends = np.cumsum([len(stroke) for stroke in strokes])
        cover(np.concatenate(strokes), ends, fine, image, 1.0)
    decibels = {"raster": psnr(raster.render(packed, levels=WHITE), exact)}
    ordered, peers.level = peers.level, lambda stroke: 255
    for name, draw in (
        ("pycairo", rival.cairo()),
        ("skia-python", rival.skia()),
        ("OpenCV", rival.opencv()),
    ):
        draw(0)
        decibels[name] = psnr(rival.images, exact)
    peers.level = ordered
    gates.show(
        f"Against exact coverage: strokes of level 255, {len(drawings)} drawings",
        ("renderer", "PSNR, dB"),
        decibels.items(),
    )
    found = [
        at_least("PSNR to exact coverage, dB", decibels["raster"], 39),
        at_least("... above skia-python's, dB", decibels["raster"] - decibels["skia-python"], 0),
    ]
    return found + recipes(packed, rival)


def psnr(images: np.ndarray, exact: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((images - exact) ** 2)))


def recipes(packed: raster.Packed, rival: peers.Peers) -> list[gates.Gate]:
    rival.paper()(0)
    paper = gap(raster.render(packed, recipe="paper"), rival.images)
    bitmaps = np.stack([peers.google(drawing) for drawing in packed.unpack()])
    google = gap(raster.render(packed, size=28, recipe="google"), bitmaps)
    gates.show(
        "Recipes against the libraries they stand for, in grey levels",
        ("recipe", "mean difference", "share of pixels within 8", "largest"),
        [("paper, 96 x 96, OpenCV", *paper), ("google, 28 x 28, cairo", *google)],
    )
    return [
        at_most("paper, mean difference", paper[0], 1),
        at_least("paper, share within 8", paper[1], 0.99),
        at_most("google, mean difference", google[0], 1),
        at_least("google, share within 8", google[1], 0.99),
    ]


def gap(images: np.ndarray, others: np.ndarray) -> tuple[float, float, int]:
    difference = np.abs(images.astype(int) - others)
    return float(difference.mean()), float((difference <= 8).mean()), int(difference.max())


def simplified(path: Path) -> list[gates.Gate]:
    """How `raster.simplify` differs from Google's, for drawings that are there in both forms."""
    if not (path / "full" / "raw").is_dir():
        return []
    raw = dict(keyed(path, "raw"))
    kinds = collections.Counter(
        difference(raster.simplify(raw[key]), theirs)
        for key, theirs in keyed(path, "simplified")
        if key in raw
    )
    rows = [(kind, count, count / kinds.total()) for kind, count in kinds.most_common()]
    gates.show("Simplified drawings against Google's", ("difference", "drawings", "share"), rows)
    return [at_least("simplify, share identical", kinds["none"] / kinds.total(), 0.93)]


def keyed(path: Path, form: str):
    for file in sources.files(path, form):
        for line in file.read_text(encoding="utf-8").splitlines():
            if '"key_id"' in line:
                row = json.loads(line)
                yield row["key_id"], row["drawing"]


def difference(mine: list, theirs: list) -> str:
    if mine == theirs:
        return "none"
    if [len(xs) for xs, _ in mine] != [len(xs) for xs, _ in theirs]:
        return "more or fewer points"
    most = max(np.abs(np.array(a) - b).max() for a, b in zip(mine, theirs, strict=True))
    return f"a point by {most}" if most < 4 else "a point by 4 or more"


if __name__ == "__main__":
    sys.exit(main())
