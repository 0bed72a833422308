"""Files of drawings -> one Drawing or one Reject for every row, in input order.

Four forms of the same thing, told apart by the end of the name (`.gz` after it is fine):

- `.ndjson`, and whatever has no other form's name: a JSON object a line, simplified or raw
  (https://github.com/googlecreativelab/quickdraw-dataset#the-raw-moderated-dataset);
- `.csv`: Kaggle's, with a header and the strokes as JSON in quotes
  (https://www.kaggle.com/competitions/quickdraw-doodle-recognition/data);
- `.bin`: the official binary records
  (https://github.com/googlecreativelab/quickdraw-dataset/blob/master/examples/binary_file_parser.py);
- `.svg`: one drawing, its paths and lines (see dsnjax.data.svg).

Only the drawing must be there. Raw strokes, and those of an SVG, are simplified as Google did it.
"""

import csv
import gzip
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

import raster
from dsnjax.data import svg
from dsnjax.errors import DataError, UserError

MAX_STROKE = 65_535  # points
MAX_RAW = 1e12  # how far a raw coordinate may lie from 0
MAX_LINE = 16 << 20  # bytes; the longest official row has under 1 MiB
MAX_GZIP = 100  # times that a file may grow; drawings grow fivefold

REASONS = {
    "truncated": "the row ends in the middle",
    "json": "not JSON",
    "csv": "not as many cells as the header",
    "utf8": "not UTF-8",
    "missing": "no drawing in the row",
    "type": "a value of the wrong kind",
    "number": "a number that is not finite, or far too large",
    "range": "a coordinate outside 0..255",
    "shape": "a stroke's lists differ in number or length",
    "svg": "no SVG, or a path that cannot be read",
    "empty": "no stroke, or a stroke without points",
    "stroke_too_long": f"a stroke of more than {MAX_STROKE:,} points",
    "times": "no times, where they were asked for",
    "key_id": "key_id is no whole number below 2^64",
    "line_too_long": f"a row of more than {MAX_LINE >> 20} MiB",
}

Coordinate = Annotated[int, msgspec.Meta(ge=0, le=255)]
Stroke = tuple[list[Coordinate], list[Coordinate]]


class Drawing(msgspec.Struct, gc=False):
    """A drawing in simplified form, and what is known about it.

    drawing: its strokes in time order, each (xs, ys) in 0..255.
    word: what the person was asked to draw. key_id: 0 where there is none. times: of each
    point of each stroke, in ms since the first one; None for drawings that came simplified.
    backwards: whether they are not in order, or begin below 0.
    """

    drawing: list[Stroke]
    word: str | None = None
    key_id: int = 0
    countrycode: str | None = None
    timestamp: str | None = None
    recognized: bool | None = None
    times: list[list[float]] | None = None
    backwards: bool = False

    def strokes(self) -> list[Sequence]:
        """Each stroke as raster.pack takes it: (xs, ys), or (xs, ys, ts) where it has times."""
        if not self.times:
            return [*self.drawing]
        return [(*stroke, ts) for stroke, ts in zip(self.drawing, self.times, strict=True)]


class Reject(msgspec.Struct, frozen=True):
    """A row that cannot be used: why (a key of REASONS), and where."""

    reason: str
    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason} at {self.path}: {self.message}"


class _Known(msgspec.Struct, gc=False, kw_only=True):
    """What a row may say besides its strokes."""

    word: str | None = None
    key_id: str | int | None = None
    countrycode: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{0,2}\Z")] | None = None
    timestamp: str | None = None
    recognized: bool | None = None


class _Row(_Known, gc=False):
    drawing: list[Stroke]


class _RawRow(_Known, gc=False):
    drawing: list[list[list[float]]]


class _RowError(Exception):
    """(reason, path, message) of a row whose values are of the right types, but no drawing."""


Found = tuple[_Known, list[Stroke], list[list[float]] | None, bool]
"""A row, its strokes, their times, and whether those go back."""

_decode = msgspec.json.Decoder(_Row).decode
_decode_raw = msgspec.json.Decoder(_RawRow).decode
_KNOWN = _Known.__struct_fields__
_HEAD = struct.Struct("<Q2sBIH")  # key_id, country, recognized, seconds, strokes


def read(paths: Iterable[str | Path], *, fit: bool = False) -> Iterator[Drawing | Reject]:
    """Every row of the files, one after the other; `-` is standard input, as ndjson.

    Args:
        fit: scale and simplify every drawing, as raw ones are, whatever its coordinates.

    Raises:
        DataError: a compressed file is damaged; a .csv has no column of drawings.
        UserError: a file cannot be opened.
    """
    for path in paths:
        if str(path) == "-":
            # Not sys.stdin.buffer: Python closes it at its end, and aborts if a thread reads it.
            try:
                number = sys.stdin.fileno()
            except (AttributeError, OSError) as error:  # it is closed, or no file
                raise UserError("no standard input here; give a file of drawings") from error
            with open(number, "rb", closefd=False) as stream:
                yield from rows(Source(stream, "standard input"), fit=fit)
        else:
            try:
                stream = open_file(path)
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}; give a file of drawings") from error
            with stream:
                yield from rows(Source(stream, str(path)), fit=fit)


def open_file(path: str | Path) -> BinaryIO:
    """The file's bytes, decompressed when its name ends in .gz."""
    return gzip.open(path) if packed(path) else open(path, "rb")  # type: ignore


def packed(file: str | Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return Path(file).suffix.lower() == ".gz"


def form(file: str | Path) -> str:
    """The end of a file's name that says its form: `.csv` for cat.CSV.gz."""
    return _unpacked(file).suffix.lower()


def stem(file: str | Path) -> str:
    """The category that a file's name stands for: `hot dog` for hot dog.ndjson.gz."""
    return _unpacked(file).stem


def _unpacked(file: str | Path) -> Path:
    return Path(file).with_suffix("") if packed(file) else Path(file)


class Source:
    """The rows that begin in the next `size` bytes of a stream; `number` is the last one's.

    Raises DataError for a damaged .gz, and for one that grows as no drawings do.
    """

    def __init__(self, stream: BinaryIO, file: str, size: int | None = None):
        self.stream, self.file, self.number = stream, file, 0
        self.read, self.size = 0, sys.maxsize if size is None else size

    def lines(self) -> Iterator[bytes]:
        """Line after line; one that is too long is cut to MAX_LINE + 1 bytes."""
        while self.read < self.size and (line := self.take(MAX_LINE + 1, line=True)):
            self.number += 1
            yield line.removeprefix(b"\xef\xbb\xbf") if self.number == 1 else line
            while len(line) > MAX_LINE and not line.endswith(b"\n") and self.read < self.size:
                line = self.take(MAX_LINE + 1, line=True)

    def take(self, size: int, *, line: bool = False) -> bytes:
        """The next `size` bytes, or those up to the end of the line or the file."""
        try:
            data = self.stream.readline(size) if line else self.stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.file}: damaged ({error}); fetch it again") from None
        self.read += len(data)
        if isinstance(self.stream, gzip.GzipFile) and self.read > MAX_LINE:
            packed = self.stream.fileobj.tell()  # type: ignore
            if self.read > MAX_GZIP * packed:
                raise DataError(
                    f"{self.file}: grows more than {MAX_GZIP} times when decompressed, which "
                    "drawings do not; decompress it yourself if you trust it"
                )
        return data


def rows(source: Source, *, fit: bool = False) -> Iterator[Drawing | Reject]:
    """One result for every row, in the form that the file's name says."""
    kind = form(source.file)
    if kind == ".bin":
        yield from _binary(source)
        return
    if kind == ".svg":
        yield _svg(source)
        return
    for row in _csv(source) if kind == ".csv" else source.lines():
        if isinstance(row, Reject):
            yield row
        elif not row.isspace():
            yield parse_row(row, file=source.file, line=source.number, fit=fit)


def parse_row(row: bytes, *, file: str = "", line: int = 1, fit: bool = False) -> Drawing | Reject:
    """One row of ndjson -> its Drawing, or the Reject that says why not."""
    try:
        if len(row) > MAX_LINE:
            raise _RowError("line_too_long", "$", f"want at most {MAX_LINE} bytes")
        found, drawing, times, backwards = _read(row, fit)
        key_id = _number(found.key_id)
    except (_RowError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason, path, message = error.args if isinstance(error, _RowError) else _why(error, row)
        return Reject(reason, file, line, path, message)
    about = (found.word, key_id, found.countrycode, found.timestamp, found.recognized)
    return Drawing(drawing, *about, times, backwards)


def _read(row: bytes, fit: bool) -> Found:
    """A row of either kind, checked; a raw one simplified."""
    if fit and (raw := _raw(row, fit)):
        return raw
    try:
        found = _decode(row)
    except msgspec.ValidationError:
        if not (raw := _raw(row, fit)):
            raise
        return raw
    _check(found.drawing)
    return found, found.drawing, None, False


def _raw(row: bytes, fit: bool) -> Found | None:
    """A raw row, its strokes simplified, their times and whether they go back; None for others."""
    found = _decode_raw(row)
    lists = {len(stroke) for stroke in found.drawing}
    if lists - {2, 3} or not (fit or 3 in lists):
        return None
    for i, stroke in enumerate(found.drawing):
        if len(stroke) < max(lists):
            raise _RowError("shape", f"$.drawing[{i}]", "no times, where other strokes have some")
    _check([(xs, ys) for xs, ys, *_ in found.drawing])
    _check([(xs, ts) for xs, *_, ts in found.drawing])
    for i, stroke in enumerate(found.drawing):
        if max(max(map(abs, column)) for column in stroke) > MAX_RAW:
            raise _RowError("number", f"$.drawing[{i}]", f"want values within {MAX_RAW:g}")
    timed = 3 in lists
    strokes = raster.simplify(found.drawing, times=timed)
    drawing = [([*map(int, stroke[0])], [*map(int, stroke[1])]) for stroke in strokes]
    if not timed:
        return found, drawing, None, False
    given = [t for _, _, ts in found.drawing for t in ts]
    start = strokes[0][2][0]
    times = [[t - start for t in ts] for _, _, ts in strokes]
    return found, drawing, times, given[0] < 0 or given != sorted(given)


def _check(drawing: Sequence[tuple[list, list]]) -> None:
    """What JSON types cannot say: there are strokes, and each has as many x as y."""
    if not drawing:
        raise _RowError("empty", "$.drawing", "a drawing has at least one stroke")
    for i, (xs, ys) in enumerate(drawing):
        if not 0 < len(xs) == len(ys) <= MAX_STROKE:
            reason = "shape" if len(xs) != len(ys) else "stroke_too_long" if xs else "empty"
            message = f"lists of {len(xs)} and {len(ys)} values"
            raise _RowError(reason, f"$.drawing[{i}]", message)


def _csv(source: Source) -> Iterator[bytes | Reject]:
    """Kaggle's rows as rows of ndjson."""
    csv.field_size_limit(MAX_LINE)  # its own limit is shorter than many a drawing
    header: list[str] = []
    for line in source.lines():
        try:
            cells = next(csv.reader([line.decode()]), [])
        except (UnicodeDecodeError, csv.Error) as error:
            reason = "csv" if isinstance(error, csv.Error) else "utf8"
            yield Reject(reason, source.file, source.number, "$", str(error))
            continue
        if not header:
            header = cells
            if "drawing" not in header:
                raise DataError(f"{source.file}: no column `drawing` in the first line, the header")
        elif len(cells) == len(header):
            yield _as_json(dict(zip(header, cells, strict=True)))
        elif cells:
            message = f"{len(cells)} cells under a header of {len(header)}"
            yield Reject("csv", source.file, source.number, "$", message)


def _as_json(cells: dict[str, str]) -> bytes:
    fields: dict[str, object] = {name: cells.get(name) or None for name in _KNOWN}
    truth = {"true": True, "false": False}
    if said := cells.get("recognized"):
        fields["recognized"] = truth.get(said.lower(), said)
    strokes = msgspec.Raw(cells["drawing"].encode() or b"null")
    return msgspec.json.encode(fields | {"drawing": strokes})


def _svg(source: Source) -> Drawing | Reject:
    """The one drawing of a picture."""
    text, source.number = source.take(MAX_LINE + 1), 1
    try:
        if len(text) > MAX_LINE:
            raise ValueError(f"more than {MAX_LINE >> 20} MiB")
        row = msgspec.json.encode({"drawing": svg.strokes(text)})
    except (ValueError, ArithmeticError) as error:
        return Reject("svg", source.file, 1, "$", str(error))
    return parse_row(row, file=source.file, fit=True)


def _binary(source: Source) -> Iterator[Drawing | Reject]:
    """Records of unsigned numbers, little-endian; one that is damaged hides where the next is."""
    while head := source.take(_HEAD.size):
        source.number += 1
        try:
            yield _record(head, source)
        except _RowError as error:
            reason, path, message = error.args
            yield Reject(reason, source.file, source.number, path, message)
            if reason in ("truncated", "line_too_long"):
                return


def _record(head: bytes, source: Source) -> Drawing:
    if len(head) < _HEAD.size:
        raise _RowError("truncated", "$", "the file ends in the middle of a record")
    key_id, country, recognized, seconds, count = _HEAD.unpack(head)
    end = source.read + MAX_LINE
    drawing = [_record_stroke(source, i, end) for i in range(count)]
    _check(drawing)
    country = country.rstrip(b"\0").decode("latin-1")
    if recognized > 1 or not re.fullmatch("[A-Za-z]{0,2}", country):
        raise _RowError("type", "$", f"{recognized=} and {country=}: want 0 or 1, and letters")
    time = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Drawing(drawing, None, key_id, country or None, time, bool(recognized))


def _record_stroke(source: Source, number: int, end: int) -> Stroke:
    path, size = f"$.drawing[{number}]", source.take(2)
    points = source.take(2 * int.from_bytes(size, "little"))
    if source.read > end:
        raise _RowError("line_too_long", path, f"want at most {MAX_LINE} bytes")
    count = len(points) // 2
    if len(size) < 2 or 2 * int.from_bytes(size, "little") > len(points):
        raise _RowError("truncated", path, "the file ends in the middle of a stroke")
    return list(points[:count]), list(points[count:])


def _number(key_id: str | int | None) -> int:
    if key_id is None:
        return 0
    text = str(key_id)
    if not (text.isascii() and text.isdecimal() and len(text) < 21 and int(text) < 1 << 64):
        raise _RowError("key_id", "$.key_id", f"want a whole number below 2^64, got {text[:40]!r}")
    return int(text)


def _why(error: Exception, row: bytes) -> tuple[str, str, str]:
    """(reason, path, message) of what msgspec said about a row."""
    message, _, path = str(error).partition(" - at `")
    path = path.rstrip("`") or "$"
    if not isinstance(error, msgspec.ValidationError):
        return _malformed(message, row), path, message
    if path.startswith("$.key_id"):
        return "key_id", path, message
    if message.endswith("got `str`") and path == "$.drawing":
        message += "; strokes in quotes are Kaggle's form: give the .csv file"
    for sign, reason in (
        ("missing required", "missing"),
        ("out of range", "number"),
        ("`int` <=", "range"),
        ("`int` >=", "range"),
        ("`array` of length", "shape"),
    ):
        if sign in message:
            return reason, path, message
    return "type", path, message


def _malformed(message: str, row: bytes) -> str:
    """The reason for a row that is no JSON at all."""
    try:
        row.decode()
    except UnicodeDecodeError as error:
        return "truncated" if error.reason == "unexpected end of data" else "utf8"
    if "truncated" in message:
        return "truncated"
    position = re.search(r"byte (\d+)", message)
    rest = row[int(position[1]) :] if position else b""
    return "number" if re.match(rb"-?(NaN|Inf)", rest) or "number" in message else "json"
