"""Made-up drawings in Quick, Draw! form, for the quick start, tests and benchmarks.

A category is a list of ways to draw it, a way is a list of parts, and a part is a stroke in a
square of 100 by 100, y downwards. Every drawing is a way as somebody might do it by hand: wobbly,
lopsided, in another order, unfinished or scribbled over; some are filed under a wrong name. They
are simplified and scaled as Google's (https://github.com/googlecreativelab/quickdraw-dataset).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STEPS = 64  # segments of a stroke before it is simplified
WAVES = 8  # slow waves that a wobble is made of
NEAR = 2.0  # pixels that simplifying may move a line

# Shares of the drawings ...
MISFILED = 0.02  # that lie under the name of another category
UNFINISHED = 0.06  # of which only the beginning is there
AGAIN = 0.08  # with a stroke drawn twice
SCRIBBLED = 0.06  # with a stroke that means nothing
# ... and of the strokes
JOINED = 0.06  # drawn in one go with the one before
BROKEN = 0.08  # drawn in two goes
BACKWARDS = 0.3

COUNTRIES = ("US", "GB", "DE", "BR", "JP", "SA", "KR", "RU")

Drawing = list[list[list[int]]]  # strokes, each [xs, ys]
Array = np.ndarray
Rng = np.random.Generator


class Part(NamedTuple):
    """A stroke that some people draw like this, some like that, and most in between.

    forms: [2, STEPS + 1, 2] points (x, y) of both extremes.
    chance: share of the people who draw it at all.
    """

    forms: Array
    chance: float = 0.985

    def maybe(self, chance: float) -> "Part":
        return self._replace(chance=chance)

    def to(self, other: "Part") -> "Part":
        return self._replace(forms=np.stack([self.forms[0], other.forms[0]]))


def path(*numbers: float) -> Part:
    """Straight from corner to corner: x, y, x, y, ..."""
    corners = np.reshape(numbers, (-1, 2)).astype(float)
    along = np.cumsum([0, *(np.hypot(*np.diff(corners, axis=0).T) + 1e-6)])
    at = np.linspace(0, along[-1], STEPS + 1)
    points = np.stack([np.interp(at, along, axis) for axis in corners.T], axis=1)
    points[np.rint(along / along[-1] * STEPS).astype(int)] = corners  # even steps cut corners
    return Part(np.stack([points, points]))


def curve(*numbers: float) -> Part:
    """Smoothly through the points x, y, x, y, ... (Catmull-Rom)."""
    p = np.reshape(numbers, (-1, 2)).astype(float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    t = np.linspace(0, 1, 16)[:, None]
    smooth = b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))) / 2
    return path(*smooth.ravel())


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Part:
    """Part of an oval around (x, y), by degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, end, STEPS + 1))
    points = np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)
    return Part(np.stack([points, points]))


def oval(x: float, y: float, width: float, height: float) -> Part:
    return arc(x, y, width, height, -90, 270)


def spots(size: float, *centers: float) -> list[Part]:
    """Small circles around x, y, x, y, ...; some are forgotten."""
    return [oval(x, y, size, size).maybe(0.85) for x, y in np.reshape(centers, (-1, 2))]


def around(count: int, part: Part) -> list[Part]:
    """The part, turned around (50, 50) `count` times."""
    turns = _rotation(np.arange(count) * 2 * np.pi / count)
    return [Part((part.forms - 50) @ turn + 50) for turn in turns]


def _rotation(angle: Array) -> Array:
    """[n, 2, 2] matrices that turn rows (x, y) by angles [n] in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos, sin, -sin, cos], axis=-1).reshape(-1, 2, 2)


# fmt: off
CAP = curve(8, 48, 16, 22, 36, 8, 62, 8, 84, 22, 92, 48)
DIAL = oval(50, 50, 46, 46)
FACE = [
    *spots(3, 38, 50, 62, 50), path(46, 62, 54, 62, 50, 67, 46, 62).to(oval(50, 64, 5, 4)),
    curve(40, 71, 45, 76, 50, 68, 55, 76, 60, 71).maybe(0.7),
]
HANDLE = curve(73, 32, 90, 29, 94, 50, 85, 66, 71, 66)
WIDE_HANDLE = curve(73, 24, 97, 20, 100, 55, 90, 78, 71, 78)
HANDS = [path(50, 50, 50, 20), path(50, 50, 72, 56).to(path(50, 50, 66, 34))]
HEAD = oval(50, 58, 36, 33).to(oval(50, 58, 31, 35))
PETAL = curve(45, 39, 36, 22, 50, 8, 64, 22, 55, 39)
THIN_PETAL = curve(46, 34, 44, 18, 50, 10, 56, 18, 54, 34).to(path(47, 33, 50, 8, 53, 33))
RAY = path(50, 20, 50, 2)
RIM = oval(50, 15, 25, 7)
SMILE = [*spots(2, 42, 45, 58, 45), curve(40, 56, 50, 62, 60, 56)]
SWIRL = curve(50, 32, 56, 28, 52, 40, 40, 34, 48, 18, 66, 24, 64, 46, 42, 52, 30, 36)

WAYS: dict[str, list[list[Part]]] = {
    "balloon": [
        [oval(50, 34, 25, 31), curve(50, 65, 46, 75, 54, 87, 48, 100)],
        [oval(50, 32, 27, 29).to(oval(50, 32, 22, 32)), path(50, 62, 46, 68, 54, 68, 50, 62),
         curve(50, 68, 56, 78, 46, 88, 52, 104).to(path(50, 68, 50, 104)),
         curve(36, 26, 40, 17, 48, 13).maybe(0.3)],
        [curve(50, 62, 28, 48, 24, 20, 50, 6, 76, 20, 72, 48, 50, 62, 49, 80, 52, 102)],
    ],
    "banana": [
        [curve(12, 20, 18, 52, 42, 76, 74, 82, 92, 74, 90, 68, 66, 62, 42, 46, 24, 16, 12, 20),
         curve(20, 34, 36, 62, 60, 74, 84, 74).maybe(0.5),
         path(13, 20, 11, 10, 18, 9, 23, 16).maybe(0.6)],
        [curve(10, 30, 26, 70, 60, 80, 94, 52),
         curve(10, 30, 34, 50, 60, 56, 94, 52).to(curve(10, 30, 34, 44, 66, 44, 94, 52)),
         path(94, 52, 99, 47).maybe(0.6)],
    ],
    "bear": [
        [HEAD, arc(22, 30, 13, 13, 110, 350).to(curve(18, 42, 12, 22, 20, 14, 38, 30)),
         arc(78, 30, 13, 13, 190, 430).to(curve(62, 30, 80, 14, 88, 22, 82, 42)),
         *FACE, oval(50, 68, 15, 12).maybe(0.35)],
        [oval(50, 28, 20, 18), *spots(6, 34, 12, 66, 12), oval(50, 70, 26, 28),
         *spots(2, 44, 24, 56, 24, 50, 32), curve(28, 58, 12, 66, 26, 74),
         curve(72, 58, 88, 66, 74, 74), *spots(8, 36, 98, 64, 98)],
    ],
    "cat": [
        [HEAD, path(18, 44, 20, 10, 40, 28).to(curve(18, 42, 14, 22, 20, 14, 38, 30)),
         path(60, 28, 80, 10, 82, 44).to(curve(62, 30, 80, 14, 86, 22, 82, 42)), *FACE,
         *[path(50 + 12 * side, y, 50 + 44 * side, y + tilt).maybe(0.85)
           for side in (-1, 1) for y, tilt in ((62, -5), (66, 1), (70, 6))]],
        [curve(15, 60, 30, 46, 60, 46, 74, 58, 70, 80, 20, 82, 15, 60), oval(80, 42, 16, 15),
         path(68, 34, 70, 16, 78, 28), path(82, 28, 92, 18, 93, 36),
         *[path(x, 80, x - 1, 98) for x in (24, 34, 56, 66)], curve(15, 60, 2, 50, 4, 34, 10, 26),
         *spots(1.5, 76, 40, 86, 40), path(90, 44, 104, 41).maybe(0.5), path(90, 48, 104, 51)],
    ],
    "clock": [
        [DIAL, *HANDS, *[tick.maybe(0.6) for tick in around(12, path(50, 8, 50, 15))]],
        [DIAL, *HANDS, *around(4, path(50, 9, 50, 17)), oval(50, 50, 3, 3).maybe(0.4)],
        [DIAL, *HANDS, *spots(2.5, 50, 12, 88, 50, 50, 88, 12, 50, 70, 17, 83, 70)],
    ],
    "cookie": [
        [DIAL, *spots(5, 34, 30, 64, 26, 72, 56, 46, 52, 30, 68, 58, 76)],
        [DIAL, *spots(3, 30, 36, 50, 22, 70, 34, 52, 50, 30, 62, 74, 62, 52, 78, 62, 44)],
        [curve(70, 12, 40, 4, 10, 30, 8, 62, 34, 92, 70, 90, 94, 60, 82, 48, 72, 36, 70, 12),
         *spots(4, 36, 32, 56, 50, 30, 60, 56, 76, 76, 64)],
        [DIAL, *[path(x, y, x + 7, y + 5).maybe(0.9) for x, y in (
            (30, 30), (56, 22), (66, 52), (42, 50), (26, 64), (54, 76))]],
    ],
    "cup": [
        [path(22, 12, 34, 92, 66, 92, 78, 12).to(path(26, 12, 29, 92, 71, 92, 74, 12)),
         RIM, HANDLE.maybe(0.25)],
        [curve(16, 26, 22, 58, 40, 78, 60, 78, 78, 58, 84, 26),
         path(16, 26, 84, 26).to(oval(50, 26, 34, 6)),
         curve(82, 34, 100, 34, 92, 58, 76, 58).maybe(0.85),
         path(14, 86, 86, 86).to(oval(50, 84, 42, 7)).maybe(0.7)],
        [path(22, 10, 78, 10, 66, 92, 34, 92, 22, 10).to(path(26, 10, 74, 10, 72, 92, 28, 92)),
         path(60, 10, 70, -12, 84, -14).maybe(0.3), HANDLE.maybe(0.35)],
    ],
    "fish": [
        [curve(94, 40, 72, 72, 40, 70, 14, 50, 2, 30, 4, 74, 14, 52, 40, 24, 72, 22, 94, 40),
         *spots(3, 78, 38), curve(62, 30, 56, 44, 64, 62).maybe(0.5)],
        [oval(58, 50, 38, 24).to(oval(58, 50, 34, 30)), path(22, 50, 2, 28, 4, 72, 22, 50),
         *spots(3, 80, 44), curve(46, 28, 56, 12, 70, 26).maybe(0.5),
         curve(96, 54, 88, 58, 84, 54).maybe(0.6),
         *[arc(x, 50, 6, 9, -80, 80).maybe(0.4) for x in (40, 50, 60)]],
    ],
    "flower": [
        *[[oval(50, 50, 12, 12), *around(petals, PETAL), curve(50, 64, 54, 90, 50, 130).maybe(0.7),
           curve(52, 112, 68, 96, 76, 104, 52, 116).maybe(0.3)] for petals in (5, 6, 8)],
        [oval(50, 50, 16, 16), *around(9, THIN_PETAL), path(50, 66, 50, 128).maybe(0.6)],
        [path(28, 44, 28, 12, 40, 28, 50, 10, 60, 28, 72, 12, 72, 44),
         curve(28, 44, 36, 62, 50, 66, 64, 62, 72, 44), path(50, 66, 50, 118),
         curve(50, 110, 30, 100, 24, 84, 44, 96, 50, 110)],
    ],
    "house": [
        [path(15, 45, 85, 45, 85, 95, 15, 95, 15, 45), path(8, 46, 50, 8, 92, 46),
         path(44, 95, 44, 70, 58, 70, 58, 95).maybe(0.9),
         path(24, 56, 36, 56, 36, 68, 24, 68, 24, 56).maybe(0.6),
         path(68, 56, 80, 56, 80, 68, 68, 68, 68, 56).maybe(0.4),
         path(70, 26, 70, 10, 79, 10, 79, 34).maybe(0.35)],
        [path(15, 95, 15, 42, 50, 8, 85, 42, 85, 95, 15, 95), path(15, 42, 85, 42).maybe(0.5),
         path(44, 95, 44, 70, 58, 70, 58, 95).maybe(0.8), oval(50, 30, 6, 6).maybe(0.3)],
        [path(6, 50, 24, 18, 42, 50, 42, 92, 6, 92, 6, 50), path(24, 18, 80, 18, 96, 50, 42, 50),
         path(96, 50, 96, 92, 42, 92), path(18, 92, 18, 70, 30, 70, 30, 92),
         path(60, 60, 78, 60, 78, 74, 60, 74, 60, 60).maybe(0.7)],
    ],
    "lollipop": [
        [oval(50, 32, 29, 29), path(50, 62, 50, 112), SWIRL.maybe(0.75)],
        [oval(50, 32, 27, 27).to(oval(50, 32, 25, 30)),
         path(48, 60, 48, 112, 53, 112, 53, 60).to(path(50, 60, 51, 108)),
         curve(26, 24, 48, 34, 74, 28).maybe(0.5), curve(28, 44, 50, 48, 72, 42).maybe(0.5)],
        [curve(50, 34, 58, 28, 60, 42, 42, 46, 38, 22, 62, 14, 76, 36, 60, 58, 32, 52, 22, 30),
         path(52, 58, 54, 112)],
    ],
    "moon": [
        [curve(62, 4, 28, 14, 14, 50, 30, 86, 64, 96),
         curve(62, 4, 48, 26, 46, 70, 64, 96).to(curve(62, 4, 36, 28, 34, 68, 64, 96)),
         oval(30, 44, 3, 3).maybe(0.4)],
        [curve(66, 8, 30, 10, 12, 44, 24, 80, 62, 96, 90, 82, 56, 76, 42, 48, 66, 8),
         oval(90, 20, 3, 3).maybe(0.4)],
        [oval(50, 50, 44, 44), *spots(8, 36, 36, 66, 50), *spots(5, 42, 70, 62, 26)],
    ],
    "mug": [
        [path(26, 14, 27, 90, 72, 90, 73, 14).to(path(24, 14, 31, 92, 69, 92, 76, 14)), RIM,
         HANDLE.to(WIDE_HANDLE), curve(73, 40, 84, 40, 84, 58, 72, 58).maybe(0.4)],
        [path(26, 14, 74, 14, 74, 90, 26, 90, 26, 14), WIDE_HANDLE.to(HANDLE),
         *[curve(x, 4, x + 5, -6, x - 3, -14, x + 3, -24).maybe(0.3) for x in (38, 50, 62)]],
        [curve(24, 16, 25, 84, 34, 92, 66, 92, 75, 84, 76, 16),
         path(24, 16, 76, 16).to(oval(50, 16, 26, 6)), WIDE_HANDLE.maybe(0.95)],
    ],
    "mushroom": [
        [CAP, path(8, 48, 92, 48),
         path(40, 48, 38, 94, 62, 94, 60, 48).to(path(47, 48, 46, 96, 54, 96, 53, 48)),
         *[spot.maybe(0.5) for spot in spots(5, 34, 28, 56, 22, 70, 36)]],
        [curve(8, 48, 22, 14, 50, 4, 78, 14, 92, 48, 70, 54, 50, 56, 30, 54, 8, 48),
         curve(40, 56, 40, 76, 34, 92, 50, 98, 66, 92, 60, 76, 60, 56),
         *[spot.maybe(0.4) for spot in spots(6, 32, 32, 62, 26)]],
    ],
    "sun": [
        *[[oval(50, 50, 24, 24), *around(rays, RAY)] for rays in (6, 8, 11)],
        [oval(50, 50, 24, 24), *around(9, RAY), *SMILE],
        [oval(50, 50, 20, 20), *around(9, path(46, 30, 50, 4, 54, 30))],
        [curve(6, 6, 8, 40, 30, 44, 46, 30, 48, 4), path(56, 10, 80, 10), path(52, 28, 74, 40),
         path(38, 42, 54, 66), path(16, 50, 18, 76)],
    ],
    "umbrella": [
        [CAP, curve(8, 48, 18, 42, 29, 48, 40, 42, 50, 48, 60, 42, 71, 48, 82, 42, 92, 48)
         .to(path(8, 48, 92, 48)), curve(50, 48, 50, 90, 44, 99, 36, 92).to(path(51, 46, 50, 98)),
         path(50, 8, 50, 0).maybe(0.4), curve(50, 8, 36, 24, 32, 46).maybe(0.35),
         curve(50, 8, 64, 24, 68, 46).maybe(0.35)],
        [curve(8, 48, 24, 14, 50, 6, 76, 14, 92, 48).to(path(8, 48, 50, 6, 92, 48)),
         path(8, 48, 92, 48), curve(50, 10, 50, 60, 50, 92, 42, 99, 34, 90)],
    ],
}
# fmt: on


def categories() -> tuple[str, ...]:
    """Names of what is drawn, in the order of their labels."""
    return tuple(WAYS)


def drawings(count_per_category: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the simplified files, category after category; the same for the same arguments.

    Each has word, countrycode, timestamp, recognized, key_id and drawing: [[xs, ys], ...] with
    whole coordinates in 0..255, the longest side 255, aligned to the upper left.
    """
    for word in WAYS:
        yield from _category(word, count_per_category, seed)


def write(folder: str | Path, count_per_category: int, seed: int) -> list[Path]:
    """One file a category in the bucket's layout, `folder/full/simplified/cat.ndjson`."""
    files = []
    for word in WAYS:
        file = Path(folder) / "full" / "simplified" / f"{word}.ndjson"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = _category(word, count_per_category, seed)
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return files


def _category(word: str, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of one file."""
    label = categories().index(word)
    rng = np.random.default_rng([seed, label])
    other = (label + rng.integers(1, len(WAYS), count)) % len(WAYS)
    drawn = np.where(rng.random(count) < MISFILED, other, label)
    drawings = _draw_all(drawn, rng)
    recognized = rng.random(count) < np.where(drawn == label, 0.95, 0.3)
    key_id = rng.integers(1 << 52, 1 << 53, count)
    country = rng.integers(0, len(COUNTRIES), count)
    clock = rng.integers(0, (24, 60, 60), (count, 3))
    for row, drawing in enumerate(drawings):
        hour, minute, second = clock[row]
        yield {
            "word": word,
            "countrycode": COUNTRIES[country[row]],
            "timestamp": f"2017-03-{1 + row % 28:02} {hour:02}:{minute:02}:{second:02}.00000 UTC",
            "recognized": bool(recognized[row]),
            "key_id": str(key_id[row]),
            "drawing": drawing,
        }


def _draw_all(drawn: Array, rng: Rng) -> list[Drawing]:
    """A drawing for each label in `drawn`, each made in one of its category's ways."""
    drawings: list[Drawing] = [[]] * len(drawn)
    pick = rng.random(len(drawn))
    for label, ways in enumerate(WAYS.values()):
        for number, way in enumerate(ways):
            rows = np.flatnonzero((drawn == label) & ((pick * len(ways)).astype(int) == number))
            for row, drawing in zip(rows, _draw(way, len(rows), rng), strict=True):
                drawings[row] = drawing
    return drawings


def _draw(way: list[Part], count: int, rng: Rng) -> list[Drawing]:
    """`count` drawings made this way."""
    if count == 0:
        return []
    strokes = _lean(_trace(way, count, rng), rng)
    shown = _shown([part.chance for part in way], count, rng)
    strokes, shown = _order(strokes, shown, rng)
    first = _lifts(shown, rng)[shown].ravel()
    owner = np.repeat(np.arange(count), (STEPS + 1) * shown.sum(axis=1))
    points, owner, first = _simplify(strokes[shown].reshape(-1, 2), owner, first)
    points = np.rint(_scale(points, owner)).astype(int)
    xs, ys = points[:, 0].tolist(), points[:, 1].tolist()
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(points))
    drawings: list[Drawing] = [[] for _ in range(count)]
    for row, start, end in zip(owner[starts], starts, ends, strict=True):
        drawings[row].append([xs[start:end], ys[start:end]])
    return drawings


def _trace(way: list[Part], count: int, rng: Rng) -> Array:
    """Strokes [count, parts + 2, STEPS + 1, 2] by hand; the last two: one again, and a scribble."""
    forms = np.stack([part.forms for part in way], axis=1)  # [2, parts, STEPS + 1, 2]
    blend = rng.random((count, 1, 1, 1))
    strokes = forms[0] * (1 - blend) + forms[1] * blend
    again = strokes[np.arange(count), rng.integers(0, len(way), count)]
    scribble = 50 + _waves((count,), rng) * rng.uniform(5, 35, (count, 1, 1))
    strokes = np.concatenate([strokes, again[:, None], scribble[:, None]], axis=1)

    care = rng.lognormal(0, 0.5, (count, 1, 1, 1))
    middle = strokes.mean(axis=2, keepdims=True)
    size = np.ptp(strokes, axis=2, keepdims=True).max(axis=-1, keepdims=True) / 100
    shape = (count, strokes.shape[1], 1)
    turn = _rotation(rng.normal(0, 0.06, shape).ravel()).reshape(*shape[:2], 2, 2)
    grow = 1 + care * rng.normal(0, 0.07, (*shape, 2))
    strokes = ((strokes - middle) * grow) @ turn + middle
    strokes += care * rng.normal(0, 1.6, (*shape, 2))
    return strokes + care * (0.3 + 1.8 * size) * _waves(shape[:2], rng)


def _waves(shape: tuple[int, ...], rng: Rng) -> Array:
    """Smooth random lines [*shape, STEPS + 1, 2] around 0; the slower a wave, the higher."""
    number = np.arange(1, WAVES + 1)
    wave = np.cos(np.pi * number * np.linspace(0, 1, STEPS + 1)[:, None]) / number
    return wave @ rng.normal(0, 1, (*shape, WAVES, 2))


def _lean(strokes: Array, rng: Rng) -> Array:
    """Whole drawings mirrored, stretched, sheared and turned."""
    count = len(strokes)
    angle = rng.normal(0, np.where(rng.random(count) < 0.2, 0.5, 0.15))
    stretch = np.zeros((count, 2, 2))
    stretch[:, 0, 0] = rng.lognormal(0, 0.22, count) * np.where(rng.random(count) < 0.3, -1, 1)
    stretch[:, 0, 1] = rng.normal(0, 0.1, count)
    stretch[:, 1, 1] = 1
    return strokes @ (stretch @ _rotation(angle))[:, None]


def _shown(chances: list[float], count: int, rng: Rng) -> Array:
    """Which strokes are drawn, [count, parts + 2]; always at least one."""
    shown = rng.random((count, len(chances) + 2)) < [*chances, AGAIN, SCRIBBLED]
    unfinished = rng.random(count) < UNFINISHED
    stop = rng.integers(1, len(chances) + 1, count)
    shown &= ~unfinished[:, None] | (np.arange(shown.shape[1]) < stop[:, None])
    shown[~shown.any(axis=1), 0] = True
    return shown


def _order(strokes: Array, shown: Array, rng: Rng) -> tuple[Array, Array]:
    """Strokes in another order and direction, ovals from another start."""
    count, parts = shown.shape
    mess = rng.choice([0.0, 1.0, 6.0], (count, 1), p=[0.6, 0.25, 0.15])
    order = np.argsort(np.arange(parts) + mess * rng.normal(0, 1, (count, parts)), axis=1)
    row = np.arange(count)[:, None]
    strokes, shown = strokes[row, order], shown[row, order]
    gap = np.abs(strokes[:, :, 0] - strokes[:, :, -1]).max(axis=-1)
    closed = gap < 0.2 * np.ptp(strokes, axis=2).max(axis=-1)
    start = closed * rng.choice([0, 0, 0, 8, 16, 32, 48], (count, parts))
    step = (np.arange(STEPS + 1) + start[..., None]) % (STEPS + 1)
    step = np.where(rng.random((count, parts, 1)) < BACKWARDS, STEPS - step, step)
    return strokes[row[..., None], np.arange(parts)[:, None], step], shown


def _lifts(shown: Array, rng: Rng) -> Array:
    """Where the pen comes down, [count, parts, STEPS + 1]; some strokes are two, or two are one."""
    count, parts = shown.shape
    first = np.zeros((count, parts, STEPS + 1), bool)
    first[..., 0] = rng.random((count, parts)) >= JOINED
    first[np.arange(count), shown.argmax(axis=1), 0] = True
    broken = np.nonzero(rng.random((count, parts)) < BROKEN)
    first[*broken, rng.integers(12, STEPS - 12, len(broken[0]))] = True
    return first


def _simplify(points: Array, owner: Array, first: Array) -> tuple[Array, Array, Array]:
    """Drops points closer than NEAR pixels to the line between those before and after.

    Every other one of them at a time, until a stroke's straight parts and gentle bends are bare.
    """
    near = NEAR / 255 * _sides(points, owner)
    for turn in range(2 * STEPS.bit_length()):
        before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
        chord, gap = after - before, points - before
        length = np.maximum((chord * chord).sum(axis=1), 1e-9)
        along = np.clip((chord * gap).sum(axis=1) / length, 0, 1)
        away = np.hypot(*(gap - along[:, None] * chord).T)
        end = first | np.roll(first, -1)
        keep = end | (away > near[owner]) | (np.arange(len(points)) % 2 == turn % 2)
        points, owner, first = points[keep], owner[keep], first[keep]
    return points, owner, first


def _bounds(points: Array, owner: Array) -> tuple[Array, Array]:
    """Upper left and lower right corner of each drawing, [count, 2]."""
    starts = np.searchsorted(owner, np.arange(owner[-1] + 1))
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)


def _sides(points: Array, owner: Array) -> Array:
    """Longest side of each drawing."""
    low, high = _bounds(points, owner)
    return np.maximum((high - low).max(axis=1), 1e-9)


def _scale(points: Array, owner: Array) -> Array:
    """Drawings moved to the upper left, their longest side 255."""
    low, _ = _bounds(points, owner)
    return (points - low[owner]) * (255 / _sides(points, owner))[owner, None]
