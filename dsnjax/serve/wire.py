"""What a request says and what it is answered: bytes in, checked drawings out, and back.

The structs that check a request are those the OpenAPI document is made from, so that it cannot
promise anything else.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

import raster
from dsnjax import __version__
from dsnjax.data.formats import MAX_RAW

MAX_BODY = 1 << 20  # bytes
MAX_DRAWINGS, MAX_STROKES, MAX_POINTS = 256, 1_000, 10_000
# Of raw drawings: about 5 s at worst. 256 of Google's have 5 million, their longest stroke 1,174^2.
MAX_WORK = 20_000_000

Coordinate = Annotated[int, Meta(ge=0, le=255)]
Points = Annotated[list[Coordinate], Meta(min_length=1, max_length=MAX_POINTS)]
Stroke = tuple[Points, Points]
Drawing = Annotated[list[Stroke], Meta(min_length=1, max_length=MAX_STROKES)]

RawColumn = Annotated[
    list[Annotated[float, Meta(ge=-MAX_RAW, le=MAX_RAW)]],
    Meta(min_length=1, max_length=MAX_POINTS),
]
RawStroke = Annotated[list[RawColumn], Meta(min_length=2, max_length=3)]
RawDrawing = Annotated[list[RawStroke], Meta(min_length=1, max_length=MAX_STROKES)]


class Fault(Exception):
    """A request that cannot be answered: its status, why, and where in the body."""

    def __init__(self, status: int, message: str, path: str = "$"):
        super().__init__(message)
        self.status, self.message, self.path = status, message, path


class _Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    top: Annotated[int, Meta(ge=1, le=1000, description="How many names for each drawing.")] = 3
    min_probability: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Where the likeliest name is less probable, `unknown` stands before it.",
        ),
    ] = 0.0
    fit: Annotated[
        bool, Meta(description="Scale and simplify strokes of any coordinates, as raw files are.")
    ] = False
    attention: Annotated[
        bool, Meta(description="Also say where the network looked, where it can.")
    ] = False


class _Simplified(_Asked):
    drawings: Annotated[list[Drawing], Meta(min_length=1, max_length=MAX_DRAWINGS)]


class PredictRequest(_Asked):
    """Drawings to name: strokes [xs, ys] of 0..255, or raw ones with `fit` or as [xs, ys, ts]."""

    drawings: Annotated[
        list[RawDrawing],
        Meta(
            min_length=1,
            max_length=MAX_DRAWINGS,
            examples=[[[[[0, 255, 255, 0, 0], [0, 0, 150, 150, 0]]]]],
        ),
    ]


class Guess(msgspec.Struct):
    """A category and the network's probability of it."""

    category: str
    probability: float


class Attention(msgspec.Struct):
    """Weights that sum to 1: of the image's cells, row by row, and of steps along the points."""

    image: list[float]
    points: list[float]


class Named(msgspec.Struct, omit_defaults=True):
    """One drawing's names, the likeliest first."""

    top: list[Guess]
    attention: Attention | None = None


class PredictResponse(msgspec.Struct):
    """One result for each drawing, in order."""

    results: list[Named]


class CollectRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A drawing to keep under a category's name."""

    # As page/collection.js has it. Python's re knows no marks (\p{M}): see _nameable.
    category: Annotated[
        str, Meta(extra_json_schema={"pattern": r"^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_ '-]{0,63}$"})
    ]
    drawing: Drawing


class CollectResponse(msgspec.Struct):
    """The drawing is kept."""


class Problem(msgspec.Struct):
    """Why a request was not answered, and where in it."""

    error: str
    path: str


_simplified = msgspec.json.Decoder(_Simplified).decode
_raw = msgspec.json.Decoder(PredictRequest).decode
_collect = msgspec.json.Decoder(CollectRequest).decode


def read_predict(body: bytes, *, timed: bool = False) -> PredictRequest:
    """A request; its `fit` says whether its drawings are still to simplify.

    Args:
        timed: they must have times.

    Raises Fault for what is no such request.
    """
    try:
        asked: Any = _decoded(_raw if timed else _simplified, body)
        asked.fit |= timed
    except Fault as fault:
        if timed or fault.status == 400:
            raise
        asked = _any_coordinates(body, fault)
    for i, drawing in enumerate(asked.drawings):
        _check(drawing, f"$.drawings[{i}]")
        if timed:
            _check_times(drawing, f"$.drawings[{i}]")
    if asked.fit:
        _check_work(asked.drawings)
    return asked


def simplified(drawings: list, *, timed: bool = False) -> list:
    """Checked drawings to fit, simplified, which may take seconds; `timed`: with their times."""
    return [raster.simplify(one, times=timed) for one in drawings]


def read_collect(body: bytes) -> CollectRequest:
    """A drawing to keep. Raises Fault for what is none."""
    asked = _decoded(_collect, body)
    if not _nameable(asked.category):
        raise Fault(422, "want a name of letters, digits and spaces, 64 at most", "$.category")
    _check(asked.drawing, "$.drawing")
    return asked


def _nameable(name: str) -> bool:
    """Whether the page would save under the name. No other folder's file has such a name."""
    if len(name) > 64:
        return False
    marks_out = (letter for letter in name[1:] if not unicodedata.category(letter).startswith("M"))
    return re.fullmatch(r"\w[\w '-]*", name[:1] + "".join(marks_out)) is not None


def _decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """The request that a body says; Fault for one that is no JSON, or not of its types."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        raise Fault(422, message, path.rstrip("`") or "$") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(400, f"not JSON: {error}") from error


def _any_coordinates(body: bytes, fault: Fault) -> PredictRequest:
    """A request with raw drawings; `fault` says why they are no simplified ones."""
    asked = _decoded(_raw, body)
    if not asked.fit and any(len(stroke) < 3 for drawing in asked.drawings for stroke in drawing):
        fault.message += "; other coordinates want times, or `fit`"
        raise fault
    asked.fit = True
    return asked


def _check_times(drawing: list, path: str) -> None:
    for i, stroke in enumerate(drawing):
        if len(stroke) < 3:
            raise Fault(422, "this model reads times; want strokes [xs, ys, ts]", f"{path}[{i}]")


def work(drawings: list) -> int:
    """Steps of simplifying at worst: a stroke that goes to and fro takes its points squared."""
    return sum(len(stroke[0]) ** 2 for drawing in drawings for stroke in drawing)


def _check_work(drawings: list) -> None:
    if work(drawings) > MAX_WORK:
        why = f"the squares of the strokes' numbers of points sum to more than {MAX_WORK:,}"
        raise Fault(422, f"{why}; send fewer drawings, or shorter strokes", "$.drawings")


def _check(drawing: list, path: str) -> None:
    """What the types cannot say: the lists of a stroke are equally long."""
    for i, stroke in enumerate(drawing):
        lengths = [len(column) for column in stroke]
        if len(set(lengths)) > 1:
            why = f"a stroke's lists have lengths {lengths}; want equal ones"
            raise Fault(422, why, f"{path}[{i}]")


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the server."""
    kinds = (PredictRequest, PredictResponse, CollectRequest, CollectResponse, Problem)
    _, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    faults = {
        "400": "The body is not JSON.",
        "408": "The body did not arrive in time.",
        "413": f"The body has more than {MAX_BODY} bytes.",
        "415": "The body is not said to be application/json.",
        "422": "A value is not what it should be; `path` says which.",
    }
    busy = {"503": "Too much is asked at once; Retry-After says when to ask again."}
    none_kept = {"404": "This server keeps no drawings.", "507": "It cannot write the drawing."}
    predict = _operation("predict", "Name drawings", PredictResponse, faults | busy)
    collect = _operation("collect", "Keep a drawing", CollectResponse, faults | none_kept)
    return {
        "openapi": "3.1.0",
        "info": {"title": "dsnjax", "version": __version__},
        "paths": {"/v1/predict": {"post": predict}, "/v1/collect": {"post": collect}},
        "components": {"schemas": components},
    }


def _operation(
    name: str, summary: str, answer: type[msgspec.Struct], faults: dict[str, str]
) -> dict[str, Any]:
    """What is posted to a path, and what is answered."""
    said = {status: _answer(text, "Problem") for status, text in faults.items()}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _content(f"{name.title()}Request")},
        "responses": {"200": _answer(str(answer.__doc__), answer.__name__), **said},
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _answer(description: str, name: str) -> dict[str, Any]:
    return {"description": description, "content": _content(name)}
