"""Drawings in, images out by way of OpenCV, cairo and skia: whom `raster` is measured against.

Each is used the fast way its own users would: images cleared and drawn in place, one call for a
stroke, and what its calls take (points, paths, tuples) made ready before the clock starts, except
where the name says that the conversion counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from raster import Packed

try:
    import cairo
    import cv2
    import skia
except ImportError as error:
    raise SystemExit(f"{error}; the peers are an extra: pip install -e .[bench]") from None

cv2.setNumThreads(1)
Peer = Callable[[int], int]  # the number of a batch -> how many drawings were drawn
SUBPIXEL = 4  # fraction bits of OpenCV's coordinates


def level(stroke: int) -> int:
    """As `levels="order"`."""
    return 125 + 13 * min(stroke, 10)


class Peers:
    """The same drawings for everyone, in batches, in the coordinates of `raster.render`."""

    def __init__(self, batches: list[Packed], size: int, thickness: int):
        self.batches, self.size, self.thickness = batches, size, thickness
        margin = thickness / 2 + 0.5
        self.scale, self.margin = (size - 1 - 2 * margin) / 255, margin
        self.images = np.zeros((len(batches[0]), size, size), np.uint8)
        self.strokes = [self._strokes(batch) for batch in batches]

    def _strokes(self, batch: Packed) -> list[list[np.ndarray]]:
        """Points [n, 2] in pixels of every stroke of every drawing."""
        drawings = batch.unpack()
        return [[np.array(s).T * self.scale + self.margin for s in d] for d in drawings]

    def opencv(self, antialias: bool = True) -> Peer:
        """`cv2.polylines` for each stroke."""
        bits, kind = (SUBPIXEL, cv2.LINE_AA) if antialias else (0, cv2.LINE_8)
        ready = _each(self.strokes, lambda stroke: np.rint(stroke * 2**bits).astype(np.int32))

        def draw(number: int) -> int:
            drawings = ready[number % len(ready)]
            for image, drawing in zip(self.images, drawings, strict=True):
                image.fill(0)
                for t, stroke in enumerate(drawing):
                    cv2.polylines(image, [stroke], False, level(t), self.thickness, kind, bits)
            return len(drawings)

        return draw

    def opencv_converting(self) -> Peer:
        """The same from the packed columns, as a loader has them."""

        def draw(number: int) -> int:
            batch = self.batches[number % len(self.batches)]
            ends = np.append(0, np.cumsum(batch.stroke_lengths))
            for b, image in enumerate(self.images):
                image.fill(0)
                (first, s0), (last, s1) = batch.index[b], batch.index[b + 1]
                points = batch.points[first:last] * self.scale + self.margin
                points = np.rint(points * 2**SUBPIXEL).astype(np.int32)
                for t, s in enumerate(range(s0, s1)):
                    stroke = points[ends[s] - first : ends[s + 1] - first]
                    cv2.polylines(
                        image, [stroke], False, level(t), self.thickness, cv2.LINE_AA, SUBPIXEL
                    )
            return len(batch)

        return draw

    def paper(self) -> Peer:
        """The authors' own way: a line for each segment on 256 pixels, then a smaller copy."""
        ready = [
            [[list(zip(*stroke, strict=True)) for stroke in drawing] for drawing in batch.unpack()]
            for batch in self.batches
        ]

        def draw(number: int) -> int:
            drawings = ready[number % len(ready)]
            for b, drawing in enumerate(drawings):
                canvas = np.zeros((256, 256), np.uint8)
                for t, stroke in enumerate(drawing):
                    for start, end in itertools.pairwise(stroke):
                        cv2.line(canvas, start, end, 255 - 13 * min(t, 10), 6)
                self.images[b] = cv2.resize(canvas, (self.size, self.size))
            return len(drawings)

        return draw

    def cairo(self) -> Peer:
        """A surface of 8 bits over each image's memory; pixel centres lie at halves."""
        ready = _each(self.strokes, lambda stroke: (stroke + 0.5).tolist())
        kind = cairo.FORMAT_A8
        stride = cairo.ImageSurface.format_stride_for_width(kind, self.size)
        rows = np.zeros((self.size, stride), np.uint8)

        def draw(number: int) -> int:
            drawings = ready[number % len(ready)]
            for image, drawing in zip(self.images, drawings, strict=True):
                memory = image if stride == self.size else rows
                memory.fill(0)
                surface = cairo.ImageSurface.create_for_data(
                    memory.data, kind, self.size, self.size, stride
                )
                page = cairo.Context(surface)
                page.set_line_width(self.thickness)
                page.set_line_cap(cairo.LINE_CAP_ROUND)
                page.set_line_join(cairo.LINE_JOIN_ROUND)
                page.set_operator(cairo.OPERATOR_SOURCE)
                for t, stroke in enumerate(drawing):
                    page.set_source_rgba(0, 0, 0, level(t) / 255)
                    page.move_to(*stroke[0])
                    for x, y in stroke:
                        page.line_to(x, y)
                    page.stroke()
                surface.finish()
                if memory is rows:
                    image[:] = rows[:, : self.size]
            return len(drawings)

        return draw

    def skia(self) -> Peer:
        """A canvas of 8 bits over each image's memory."""
        ready = _each(
            self.strokes, lambda stroke: [skia.Point(x, y) for x, y in (stroke + 0.5).tolist()]
        )
        info = skia.ImageInfo.Make(
            self.size, self.size, skia.kGray_8_ColorType, skia.kOpaque_AlphaType
        )
        paint = skia.Paint(
            AntiAlias=True,
            Style=skia.Paint.kStroke_Style,
            StrokeWidth=self.thickness,
            StrokeCap=skia.Paint.kRound_Cap,
            StrokeJoin=skia.Paint.kRound_Join,
        )

        def draw(number: int) -> int:
            drawings = ready[number % len(ready)]
            for image, drawing in zip(self.images, drawings, strict=True):
                image.fill(0)
                canvas = skia.Surface.MakeRasterDirect(info, image).getCanvas()
                for t, stroke in enumerate(drawing):
                    paint.setColor(skia.ColorSetRGB(*[level(t)] * 3))
                    canvas.drawPath(skia.Path.Polygon(stroke, False), paint)
            return len(drawings)

        return draw

    def clearing(self) -> Peer:
        """No drawing at all: what no renderer can save."""

        def draw(number: int) -> int:
            for _ in range(8):
                self.images.fill(0)
            return 8 * len(self.images)

        return draw


def _each(batches: list, convert: Callable) -> list:
    return [[[convert(stroke) for stroke in drawing] for drawing in batch] for batch in batches]


def google(drawing: list, side: int = 28) -> np.ndarray:
    """The data set's 28x28 bitmap by cairo, after the recipe in quickdraw-dataset issue 19."""
    surface = cairo.ImageSurface(cairo.FORMAT_ARGB32, side, side)
    page = cairo.Context(surface)
    page.set_antialias(cairo.ANTIALIAS_BEST)
    page.set_line_cap(cairo.LINE_CAP_ROUND)
    page.set_line_join(cairo.LINE_JOIN_ROUND)
    page.set_line_width(16)
    page.set_source_rgb(1, 1, 1)
    page.scale(side / 304, side / 304)
    right, bottom = np.hstack([np.array(stroke) for stroke in drawing]).max(axis=1)
    page.translate(24 + (256 - right) / 2, 24 + (256 - bottom) / 2)
    for xs, ys in drawing:
        page.move_to(xs[0], ys[0])
        for x, y in zip(xs, ys, strict=True):
            page.line_to(x, y)
        page.stroke()
    rows = np.frombuffer(surface.get_data(), np.uint8).reshape(side, surface.get_stride())
    return rows[:, : 4 * side : 4].copy()
