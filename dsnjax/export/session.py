"""An exported ONNX model and drawings in, names out, by onnxruntime on the CPU; without jax."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import raster
from dsnjax import settings
from dsnjax.data.inputs import inputs
from dsnjax.errors import CheckpointError, UserError, extra
from dsnjax.export.about import About
from dsnjax.naming import Naming

BATCH = 64


class Session(Naming):
    """A model that `dsnjax export --to onnx` wrote; names drawings as a Recognizer does.

    Several threads may use one session at a time.

    Args:
        model: the file, or its bytes.
        threads: batches that run at once, each in one thread: cores that share the work of one
            batch wait for each other.

    Raises:
        UserError: no such file, or one that dsnjax did not write.
        CheckpointError: the file is damaged, or of an opset that onnxruntime does not know.
    """

    def __init__(self, model: Path | str | bytes, threads: int = 1):
        with extra("export", "an ONNX model"):
            import onnxruntime as ort
            from onnxruntime.capi import onnxruntime_pybind11_state as faults  # type: ignore
        name = "the model" if isinstance(model, bytes) else str(model)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        given = model if isinstance(model, bytes) else name
        damaged = (faults.Fail, faults.InvalidProtobuf, faults.InvalidGraph, faults.NotImplemented)
        try:
            self._session = ort.InferenceSession(given, options, ["CPUExecutionProvider"])
        except faults.NoSuchFile as error:
            raise UserError(f"{name}: no such file; make one: dsnjax export --to onnx") from error
        except (*damaged, faults.InvalidArgument, faults.RuntimeException) as error:
            what = str(error).splitlines()[0]
            raise CheckpointError(f"{name}: onnxruntime cannot read it ({what})") from error
        self._map = ThreadPoolExecutor(threads, "network").map if threads > 1 else map
        self.about = _about(self._session.get_modelmeta().custom_metadata_map, name)
        self.categories = self.about.categories
        self._data = self.about.data()
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._outputs = {one.name for one in self._session.get_outputs()}

    def __call__(self, packed: raster.Packed) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities [b, k] and, of a model that weighs tokens, attention [b, n + t].

        t is always that of `about.length` points; steps beyond a drawing's end have weight 0.
        """
        weighs = "attention" in self._outputs
        names = ["probabilities", "attention"] if weighs else ["probabilities"]
        parts = list(self._map(lambda part: self._run(names, part), _batches(packed)))
        if not parts:
            parts = [(np.zeros((0, len(self.categories)), np.float32), np.zeros((0, 0)))]
        chances = np.concatenate([part[0] for part in parts])
        return chances, np.concatenate([part[1] for part in parts]) if weighs else None

    def probabilities(self, packed: raster.Packed) -> np.ndarray:
        """Probability of each category, float32 [b, k], of drawings as coordinates 0..255."""
        return self(packed)[0]

    def logits(self, packed: raster.Packed) -> np.ndarray:
        """What the network says before the softmax, float32 [b, k]."""
        parts = self._map(lambda part: self._run(["logits"], part)[0], _batches(packed))
        return np.concatenate(list(parts))

    def _run(self, names: list[str], packed: raster.Packed) -> list[np.ndarray]:
        shown = inputs(packed, self._data)
        # Padding changes nothing but the time that it takes.
        longest = max(1, int(shown["length"].max()))
        shown["points"] = shown["points"][:, :longest]
        given = {name: shown[name] for name in self._inputs}
        found = [np.asarray(one) for one in self._session.run(names, given)]
        if "attention" in names:
            rows, columns = self.about.grid
            wide = rows * columns + -(-self.about.length // self.about.stride)
            found[1] = np.pad(found[1], ((0, 0), (0, wide - found[1].shape[1])))
        return found


def _batches(packed: raster.Packed) -> list[raster.Packed]:
    count = len(packed)
    return [
        packed.take(np.arange(start, min(start + BATCH, count))) for start in range(0, count, BATCH)
    ]


def _about(properties: dict[str, str], name: str) -> About:
    text = {key for key, field in About.model_fields.items() if field.annotation is str}
    try:
        values = {
            key: value if key in text else json.loads(value)
            for key, value in properties.items()
            if key in About.model_fields
        }
        return settings.check(About, values)
    except ValueError as error:
        raise UserError(
            f"{name}: not written by dsnjax ({error}); make one: dsnjax export --to onnx"
        ) from error
