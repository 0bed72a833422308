"""Drawings in, the names of what is drawn and their probabilities out."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import raster
from dsnjax import bundle, calibration
from dsnjax.data import augment, formats
from dsnjax.naming import Naming, unfinished

if TYPE_CHECKING:
    from dsnjax.compiled import Compiled
    from dsnjax.export.session import Session

BATCH = 1024  # rows to read at a time
TINY = np.finfo(np.float32).tiny  # whose logarithm is a number


class Recognizer(Naming):
    """A trained network that names drawings.

    Args:
        model: a work directory, a bundle, or nothing for the model that ships with dsnjax.
        tta: test-time augmentation: shows the network each drawing mirrored and turned as well, as
            far as training did (augment.views), and takes the geometric mean of what it says.

    Raises:
        UserError: nothing usable lies there; see augment.views. CheckpointError: what lies there is
            damaged.
    """

    def __init__(self, model: Path | str | None = None, *, tta: bool = False):
        self.bundle = bundle.find(model)
        self._views = augment.views(self.bundle.recipe.data.augment) if tta else []
        self.categories = self.bundle.categories
        self._network = _network(self.bundle)

    def probabilities(self, packed: raster.Packed) -> np.ndarray:
        """Probability of each category, float32 [b, k], of drawings as coordinates 0..255."""
        if not self._views:
            return self._network.probabilities(packed)
        said = [self._network.probabilities(view(packed)) for view in self._views]
        return calibration.softmax(np.mean(np.log(np.maximum(said, TINY)), axis=0))


def _network(model: bundle.Bundle) -> "Session | Compiled":
    """The network under onnxruntime, or under jax where only that is there; both say the same.

    onnxruntime starts without jax, in a third of the time. But it would leave idle the accelerator
    that a plugin of jax stands for.
    """
    if find_spec("jax_plugins") or not (find_spec("onnx") and find_spec("onnxruntime")):
        from dsnjax.compiled import Compiled  # loads jax

        return Compiled(model)
    from dsnjax.export import onnx
    from dsnjax.export.session import Session

    return Session(onnx.build(model), threads=os.cpu_count() or 1)


@dataclass(frozen=True)
class Wanted:
    """What is asked of every row: see Naming.predict.

    each_stroke: also what is named after each stroke but the last, made to fit as a whole drawing.
    """

    top: int = 3
    min_probability: float = 0.0
    fit: bool = False
    each_stroke: bool = False


def rows(
    recognizer: Recognizer, files: Iterable[Path | str], wanted: Wanted = Wanted()
) -> Iterator[dict[str, Any]]:
    """One answer for every row of some files (`-`: standard input), in input order.

    Yields:
        `key_id` (None where a row has none) and `top`, with `each_stroke` also `strokes`, the `top`
        after each stroke; for a row that cannot be used, `top` is empty and `error` says why and
        where.
    """
    for chunk in chunks(recognizer, files, fit=wanted.fit):
        parts = [_parts(row, wanted) for row in chunk if isinstance(row, formats.Drawing)]
        flat = [drawing for part in parts for drawing in part]
        named = iter(recognizer.predict(flat, wanted.top, min_probability=wanted.min_probability))
        counts = iter(map(len, parts))
        for row in chunk:
            if isinstance(row, formats.Drawing):
                after = list(islice(named, next(counts)))
                answer = {"key_id": str(row.key_id) if row.key_id else None, "top": after[-1]}
                yield answer | ({"strokes": after} if wanted.each_stroke else {})
            else:
                yield {"key_id": None, "top": [], "error": str(row)}


def chunks(
    recognizer: Recognizer, files: Iterable[Path | str], *, fit: bool = False
) -> Iterator[list[formats.Drawing | formats.Reject]]:
    """The rows of some files, read ahead in a thread; few at first, so that answers come soon."""
    timed = recognizer.bundle.recipe.data.timed
    read = (
        _untimed(row, number) if timed and isinstance(row, formats.Drawing) else row
        for number, row in enumerate(formats.read(files, fit=fit), 1)
    )
    sizes = chain([16, 64], repeat(BATCH))

    def following() -> Future:
        size = next(sizes)
        return _begun(lambda: list(islice(read, size)))

    ahead = following()
    while chunk := ahead.result():
        ahead = following()
        yield chunk


def _begun(work: Callable[[], Any]) -> Future:
    """Work in a thread that no end of the program waits for: it may wait for input."""
    answer: Future = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # raised where the answer is asked for
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def _untimed(row: formats.Drawing, number: int) -> formats.Drawing | formats.Reject:
    """The row; where it has no times and the network is shown them, why it cannot be named."""
    if row.times:
        return row
    return formats.Reject("times", "row", number, "$.drawing", "this network is shown times")


def _parts(row: formats.Drawing, wanted: Wanted) -> list[Sequence]:
    """The drawing after each stroke, or only the whole one."""
    whole = row.strokes()
    if not wanted.each_stroke:
        return [whole]
    timed = row.times is not None
    before = (raster.simplify(part, times=timed) for part in unfinished(whole)[:-1])
    return [*before, whole]
