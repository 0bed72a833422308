"""Files of drawings -> one Drawing or one Reject for every row, in input order.

A row is a JSON object on a line of its own, as in the official simplified ndjson
(https://github.com/googlecreativelab/quickdraw-dataset#the-simplified-drawing-files-ndjson).
Only its `drawing` must be there.
"""

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from dsnjax.errors import DataError

MAX_STROKE = 65_535  # points
MAX_LINE = 16 << 20  # bytes; the longest official row has under 1 MiB

REASONS = {
    "truncated": "the row ends in the middle",
    "json": "not JSON",
    "utf8": "not UTF-8",
    "missing": "no drawing in the row",
    "type": "a value of the wrong kind",
    "number": "a number that is not finite",
    "range": "a coordinate outside 0..255",
    "shape": "a stroke's lists differ in number or length",
    "empty": "no stroke, or a stroke without points",
    "stroke_too_long": f"a stroke of more than {MAX_STROKE} points",
    "key_id": "key_id is no whole number below 2^64",
    "line_too_long": f"a line of more than {MAX_LINE >> 20} MiB",
}

Coordinate = Annotated[int, msgspec.Meta(ge=0, le=255)]
Stroke = tuple[list[Coordinate], list[Coordinate]]


class Drawing(msgspec.Struct, gc=False):
    """A drawing in simplified form, and what is known about it.

    drawing: its strokes in time order, each (xs, ys) in 0..255.
    word: what the person was asked to draw. key_id: 0 where there is none.
    """

    drawing: list[Stroke]
    word: str | None = None
    key_id: int = 0
    countrycode: str | None = None
    timestamp: str | None = None
    recognized: bool | None = None


class Reject(msgspec.Struct, frozen=True):
    """A row that cannot be used: why (a key of REASONS), and where."""

    reason: str
    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason} at {self.path}: {self.message}"


class _Row(msgspec.Struct, gc=False):
    """A Drawing as it stands in the file."""

    drawing: list[Stroke]
    word: str | None = None
    key_id: str | int | None = None
    countrycode: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{0,2}\Z")] | None = None
    timestamp: str | None = None
    recognized: bool | None = None


class _RowError(Exception):
    """(reason, path, message) of a row that is JSON of the right types, but no drawing."""


_decode = msgspec.json.Decoder(_Row).decode


def read(paths: Iterable[str | Path]) -> Iterator[Drawing | Reject]:
    """Every row of the files, one after the other; `-` is standard input.

    Raises:
        DataError: a compressed file is damaged.
        OSError: a file cannot be read.
    """
    for path in paths:
        if str(path) == "-":
            yield from rows(Lines(sys.stdin.buffer, "standard input"))
        else:
            with open_file(path) as stream:
                yield from rows(Lines(stream, str(path)))


def open_file(path: str | Path) -> BinaryIO:
    """The file's bytes, decompressed when its name ends in .gz."""
    return gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")  # type: ignore


def stem(file: str | Path) -> str:
    """The category that a file's name stands for: `hot dog` for hot dog.ndjson.gz."""
    return Path(str(file).removesuffix(".gz")).stem


class Lines:
    """The lines that begin in the next `size` bytes of a stream; `number` is the last one's.

    A line that is too long is cut to MAX_LINE + 1 bytes. Raises DataError for a damaged .gz.
    """

    def __init__(self, stream: BinaryIO, file: str, size: int | None = None):
        self.stream, self.file, self.number = stream, file, 0
        self.left = sys.maxsize if size is None else size

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.left > 0 and (row := self._next()):
                self.number += 1
                yield row.removeprefix(b"\xef\xbb\xbf") if self.number == 1 else row
                while len(row) > MAX_LINE and not row.endswith(b"\n") and self.left > 0:
                    row = self._next()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.file}: damaged ({error}); fetch it again") from None

    def _next(self) -> bytes:
        row = self.stream.readline(MAX_LINE + 1)
        self.left -= len(row)
        return row


def rows(lines: Lines) -> Iterator[Drawing | Reject]:
    """One result for every line that is not blank."""
    for row in lines:
        if not row.isspace():
            yield parse_row(row, file=lines.file, line=lines.number)


def parse_row(row: bytes, *, file: str = "", line: int = 1) -> Drawing | Reject:
    """One row -> its Drawing, or the Reject that says why not."""
    try:
        if len(row) > MAX_LINE:
            raise _RowError("line_too_long", "$", f"want at most {MAX_LINE} bytes")
        found = _decode(row)
        _check(found.drawing)
        key_id = _number(found.key_id)
    except (_RowError, msgspec.DecodeError, UnicodeDecodeError) as error:
        reason, path, message = error.args if isinstance(error, _RowError) else _why(error, row)
        return Reject(reason, file, line, path, message)
    return Drawing(
        found.drawing, found.word, key_id, found.countrycode, found.timestamp, found.recognized
    )


def _check(drawing: list[Stroke]) -> None:
    """What JSON types cannot say: there are strokes, and each has as many x as y."""
    if not drawing:
        raise _RowError("empty", "$.drawing", "a drawing has at least one stroke")
    for i, (xs, ys) in enumerate(drawing):
        if len(xs) != len(ys):
            raise _RowError("shape", f"$.drawing[{i}]", f"{len(xs)} values of x but {len(ys)} of y")
        if not xs:
            raise _RowError("empty", f"$.drawing[{i}]", "a stroke has at least one point")
        if len(xs) > MAX_STROKE:
            raise _RowError("stroke_too_long", f"$.drawing[{i}]", f"{len(xs)} points")


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
