"""An SVG picture in, the strokes of its paths and lines out, curves as many short lines.

Reads `path`, `line`, `polyline` and `polygon` with the transforms of all groups around them; a
path's every `M` begins a stroke (https://www.w3.org/TR/SVG11/paths.html). Colours, widths, text
and other shapes are not looked at.
"""

import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

Points = list[complex]
CURVE = 24  # lines that a curve becomes; raster.simplify thins them again
DEEPEST = 100  # groups within groups
_NUMBER = re.compile(r"[\s,]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_FLAG = re.compile(r"[\s,]*([01])")
_COMMAND = re.compile(r"[\s,]*([MmZzLlHhVvCcSsQqTtAa])")
_TRANSFORM = re.compile(r"\s*(\w+)\s*\(([^)]*)\)[\s,]*")
_TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}


def strokes(text: bytes) -> list[list[list[float]]]:
    """Strokes `[xs, ys]` in the picture's own units, y downwards, in the order of the file.

    Raises ValueError for what is no SVG, and for a path or a transform that cannot be read, and
    ArithmeticError where its numbers are too large or too small.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: of an encoding
        raise ValueError(f"no SVG: {error}") from None
    found = list(_shapes(root, np.eye(3), 0))
    return [[[p.real for p in points], [p.imag for p in points]] for points in found if points]


def _shapes(element: ElementTree.Element, place: np.ndarray, depth: int) -> Iterator[Points]:
    kind = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if kind in ("defs", "clipPath", "mask", "pattern", "symbol", "marker"):
        return
    if depth > DEEPEST:
        raise ValueError(f"groups more than {DEEPEST} deep")
    place = place @ _matrix(element.get("transform", ""))
    for points in _strokes_of(kind, element):
        moved = place @ np.array([[p.real, p.imag, 1] for p in points]).T
        yield [complex(x, y) for x, y in moved[:2].T.tolist()]
    for child in element:
        yield from _shapes(child, place, depth + 1)


def _strokes_of(kind: str, element: ElementTree.Element) -> list[Points]:
    if kind == "path":
        return path(element.get("d", ""))
    if kind == "line":
        x1, y1, x2, y2 = (_one(element.get(name, "0")) for name in ("x1", "y1", "x2", "y2"))
        return [[complex(x1, y1), complex(x2, y2)]]
    if kind in ("polyline", "polygon"):
        numbers = _numbers(element.get("points", ""))
        if len(numbers) % 2:
            raise ValueError(f"a {kind} of {len(numbers)} numbers; want pairs")
        points = [complex(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
        return [points + points[:1] * (kind == "polygon")] if points else []
    return []


def path(d: str) -> list[Points]:
    """The strokes of a path's data. Raises ValueError where it cannot be read."""
    done: list[Points] = []
    here, before, last = 0j, 0j, ""  # the point, the control point before it, and its command
    for command, numbers in _commands(d):
        kind, origin = command.upper(), here if command.islower() else 0j
        if kind == "M":
            here = origin + complex(*numbers)
            done.append([here])
        elif not done:
            raise ValueError(f"a path that begins with {command}; want M")
        else:
            if last == "Z":  # the next stroke begins where the closed one did
                done.append([here])
            points, before = _segment(kind, numbers, origin, here, before if last == kind else here)
            points = [done[-1][0]] if kind == "Z" else points
            done[-1] += points
            here = points[-1]
        # S goes on from C, and T from Q, as from their own kind.
        last = {"C": "S", "Q": "T"}.get(kind, kind)
    return done


def _segment(
    kind: str, numbers: list[float], origin: complex, here: complex, before: complex
) -> tuple[Points, complex]:
    """The points after `here`, and the control point that a smooth curve goes on from."""
    if kind == "Z":
        return [here], here
    if kind == "H":
        return [complex(origin.real + numbers[0], here.imag)], here
    if kind == "V":
        return [complex(here.real, origin.imag + numbers[0])], here
    if kind == "A":
        end = origin + complex(*numbers[5:])
        return _arc(here, end, numbers), end
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    points = [origin + complex(*pair) for pair in pairs]
    if kind in "ST":
        points.insert(0, 2 * here - before)
    if kind in "QT":
        control, end = points
        return _bezier(here, here + (control - here) * 2 / 3, end + (control - end) * 2 / 3, end), (
            control
        )
    if kind in "CS":
        return _bezier(here, *points), points[1]
    return points, points[-1]


def _bezier(a: complex, b: complex, c: complex, d: complex) -> Points:
    times = [step / CURVE for step in range(1, CURVE)]
    curve = [
        (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
        for t in times
    ]
    return [*curve, d]


def _arc(here: complex, end: complex, numbers: list[float]) -> Points:
    """An arc of an ellipse, by the equations of SVG's appendix F.6."""
    width, height, angle, large, sweep = numbers[:5]
    width, height, turn = abs(width), abs(height), complex(1, 0) * np.exp(1j * math.radians(angle))
    if not width or not height or here == end:
        return [end]
    half = (here - end) / 2 * turn.conjugate()
    half = complex(half.real / width, half.imag / height)  # where the ellipse is a circle
    if abs(half) > 1:
        width, height, half = width * abs(half), height * abs(half), half / abs(half)
    away = math.sqrt(max(1 / abs(half) ** 2 - 1, 0)) * (-1 if large == sweep else 1)
    center = half * -1j * away
    start, stop = np.angle(half - center), np.angle(-half - center)
    swept = (stop - start) % math.tau - (0 if sweep else math.tau)
    count = max(1, math.ceil(abs(swept) / math.tau * 3 * CURVE))
    circle = center + np.exp(1j * (start + swept * np.arange(1, count) / count))
    middle = (here + end) / 2
    return [*(middle + turn * (width * circle.real + 1j * height * circle.imag)).tolist(), end]


def _commands(d: str) -> Iterator[tuple[str, list[float]]]:
    """Each command with its numbers; one that is given more repeats."""
    place, end = 0, len(d.rstrip(" \t\r\n,"))
    while place < end:
        match = _COMMAND.match(d, place)
        if not match:
            raise ValueError(f"no command at {d[place : place + 20]!r} of a path")
        command, place = str(match[1]), match.end()
        takes = _TAKES[command.upper()]
        while True:
            numbers = []
            for index in range(takes):
                flag = command in "aA" and index in (3, 4)
                match = (_FLAG if flag else _NUMBER).match(d, place)
                if not match:
                    raise ValueError(
                        f"{command} wants {takes} numbers at {d[place : place + 20]!r}"
                    )
                numbers.append(float(match[1]))
                place = match.end()
            yield command, numbers
            if not takes or not _NUMBER.match(d, place):
                break
            command = "L" if command == "M" else "l" if command == "m" else command


def _numbers(text: str) -> list[float]:
    numbers, place = [], 0
    while match := _NUMBER.match(text, place):
        numbers.append(float(match[1]))
        place = match.end()
    if text[place:].strip(" \t\r\n,"):
        raise ValueError(f"no number at {text[place : place + 20]!r}")
    return numbers


def _one(text: str) -> float:
    """A length; units of it are not looked at."""
    match = _NUMBER.match(text)
    if not match:
        raise ValueError(f"no number at {text[:20]!r}")
    return float(match[1])


def _matrix(transform: str) -> np.ndarray:
    """The 3x3 matrix of a transform attribute."""
    matrix, place = np.eye(3), 0
    while match := _TRANSFORM.match(transform, place):
        numbers = _numbers(match[2])
        matrix, place = matrix @ _transform(match[1], numbers), match.end()
    if transform[place:].strip():
        raise ValueError(f"no transform at {transform[place : place + 20]!r}")
    return matrix


def _transform(name: str, numbers: list[float]) -> np.ndarray:
    match name, numbers:
        case "matrix", [a, b, c, d, e, f]:
            rows = [[a, c, e], [b, d, f]]
        case "translate", [x, *y]:
            rows = [[1, 0, x], [0, 1, y[0] if y else 0]]
        case "scale", [x, *y]:
            rows = [[x, 0, 0], [0, y[0] if y else x, 0]]
        case "rotate", [angle, *about]:
            turn = np.exp(1j * math.radians(angle))
            x, y = about or (0, 0)
            moved = complex(x, y) - turn * complex(x, y)
            rows = [[turn.real, -turn.imag, moved.real], [turn.imag, turn.real, moved.imag]]
        case "skewX", [angle]:
            rows = [[1, math.tan(math.radians(angle)), 0], [0, 1, 0]]
        case "skewY", [angle]:
            rows = [[1, 0, 0], [math.tan(math.radians(angle)), 1, 0]]
        case _:
            raise ValueError(f"a transform {name} of {len(numbers)} numbers")
    return np.array([*rows, [0, 0, 1]], float)
