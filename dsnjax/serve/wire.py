"""What a request says and what it is answered: bytes in, checked drawings out, and back.

The structs that check a request are those the OpenAPI document is made from, so that it cannot
promise anything else.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

import raster
from dsnjax import __version__
from dsnjax.data.formats import MAX_RAW

MAX_BODY = 1 << 20  # bytes
MAX_DRAWINGS, MAX_STROKES, MAX_POINTS = 256, 1_000, 10_000

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

    category: Annotated[str, Meta(pattern=r"^\w[\w '-]{0,63}$")]
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
    """A request, its drawings simplified; `timed`: they must have times and keep them.

    Raises Fault for what is no such request.
    """
    try:
        asked: Any = _raw(body) if timed else _simplified(body)
    except msgspec.ValidationError as error:
        if timed:
            raise _refused(error) from error
        asked = _fitted(body, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(400, f"not JSON: {error}") from error
    else:
        for i, drawing in enumerate(asked.drawings):
            _check(drawing, f"$.drawings[{i}]")
        if timed:
            asked.drawings = [_timed(one, i) for i, one in enumerate(asked.drawings)]
        elif asked.fit:
            asked.drawings = [raster.simplify(one) for one in asked.drawings]
    return asked


def _timed(drawing: list, number: int) -> list:
    """The drawing simplified, with its times."""
    for j, stroke in enumerate(drawing):
        if len(stroke) < 3:
            path = f"$.drawings[{number}][{j}]"
            raise Fault(422, "this model reads times; want strokes [xs, ys, ts]", path)
    return raster.simplify(drawing, times=True)


def read_collect(body: bytes) -> CollectRequest:
    """A drawing to keep. Raises Fault for what is none."""
    try:
        asked = _collect(body)
    except msgspec.ValidationError as error:
        raise _refused(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(400, f"not JSON: {error}") from error
    _check(asked.drawing, "$.drawing")
    return asked


def _fitted(body: bytes, error: msgspec.ValidationError) -> PredictRequest:
    """A request with raw drawings, simplified; `error` says why they are no simplified ones."""
    try:
        asked = _raw(body)
    except msgspec.ValidationError as raw:
        raise _refused(raw) from raw
    for i, drawing in enumerate(asked.drawings):
        if not (asked.fit or all(len(stroke) == 3 for stroke in drawing)):
            fault = _refused(error)
            fault.message += "; other coordinates want times, or `fit`"
            raise fault
        _check(drawing, f"$.drawings[{i}]")
    asked.drawings = [raster.simplify(drawing) for drawing in asked.drawings]
    return asked


def _check(drawing: list, path: str) -> None:
    """What the types cannot say: the lists of a stroke are equally long."""
    for i, stroke in enumerate(drawing):
        lengths = [len(column) for column in stroke]
        if len(set(lengths)) > 1:
            why = f"a stroke's lists have lengths {lengths}; want equal ones"
            raise Fault(422, why, f"{path}[{i}]")


def _refused(error: msgspec.ValidationError) -> Fault:
    message, _, path = str(error).partition(" - at `")
    return Fault(422, message, path.rstrip("`") or "$")


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
    none_kept = {"404": "This server keeps no drawings."}
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
