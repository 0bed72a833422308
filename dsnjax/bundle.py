"""A model to use: a folder with weights, config, categories and a card, made from a run.

weights.safetensors   params and statistics, float16; nothing in it is code
config.json           what shapes the network and its inputs, and the weights' SHA-256
categories.txt        one name a line, in label order
README.md             the card: what it is, what it was trained on, how well it does
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dsnjax import __version__, config, files, measured, presets, settings
from dsnjax.data import categories
from dsnjax.errors import CheckpointError, DataError, UserError

if TYPE_CHECKING:
    from dsnjax.workdir import Workdir

PRETRAINED = presets.PRETRAINED
WEIGHTS = "weights.safetensors"
KINDS = {"both": "A Deep Sketch Network", "cnn": "A CNN of drawings", "rnn": "An RNN of drawings"}

Arrays = dict[str, np.ndarray]
"""Arrays by the path of their module, such as `cnn/blocks/0/first/kernel`."""


class Recipe(config.Section):
    """What must be known besides the weights: the network's sizes, and how drawings are shown."""

    version: int = 1
    """Layout of the bundle."""
    model: config.Model
    data: config.Data
    temperature: config.Positive = 1.0
    """What logits are divided by before the softmax: see dsnjax.calibration."""


@dataclass(frozen=True)
class Bundle:
    """All that is known of a trained network. Free of jax, for those who run it without."""

    recipe: Recipe
    categories: tuple[str, ...]
    params: Arrays
    statistics: Arrays
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured of these weights, as in evaluation.json; empty where nothing is known."""


def is_run(folder: Path) -> bool:
    """Whether a folder is a work directory."""
    return (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir()


def from_workdir(workdir: "Workdir") -> Bundle:
    """The best checkpoint of a run. Raises CheckpointError where there is none."""
    run = workdir.config()
    _, trained = workdir.restore()
    told = measured.figures(workdir.path)
    figures = told if told.get("step") == int(trained.step) else {}
    recipe = Recipe(
        model=run.model,
        data=run.data.model_copy(update={"store": None}),
        temperature=figures.get("calibration", {}).get("temperature", 1.0),
    )
    params, statistics = (
        {name: np.asarray(leaf) for name, leaf in part.items()} for part in trained.used
    )
    return Bundle(recipe, workdir.categories(), params, statistics, figures)


def find(name: Path | str | None = None) -> Bundle:
    """The model of a run or a bundle; None or `pretrained` is the one that ships.

    Raises:
        UserError: nothing usable lies there. CheckpointError: what lies there is damaged.
    """
    folder = PRETRAINED if name is None else presets.model(name)
    if not is_run(folder):
        return read(folder)
    from dsnjax.workdir import Workdir  # loads jax, which a bundle does without

    return from_workdir(Workdir(folder))


def read(folder: Path) -> Bundle:
    """A bundle from its folder.

    Raises:
        UserError: no bundle there, or one of a newer version.
        CheckpointError: its weights are damaged, or for other categories.
    """
    try:
        values = {**json.loads((folder / "config.json").read_text(encoding="utf-8"))}
        names = tuple((folder / "categories.txt").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: no model here ({error}); want a run, or a bundle") from error
    if values.get("version") != 1:
        raise UserError(
            f"{folder}: layout {values.get('version')}, dsnjax {__version__} reads 1; upgrade it"
        )
    checksum = values.pop("sha256", None)
    recipe = settings.check(Recipe, values)
    try:
        weights = (folder / WEIGHTS).read_bytes()
        if hashlib.sha256(weights).hexdigest() != checksum:
            raise CheckpointError(
                f"{folder}/{WEIGHTS}: not the weights that config.json was written with; "
                "make the bundle again"
            )
        arrays = load(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}/{WEIGHTS}: {error}") from error
    parts: dict[str, Arrays] = {"params": {}, "statistics": {}}
    for name, array in arrays.items():
        part, _, path = name.partition("/")
        parts[part][path] = array.astype(np.float32)
    for path, array in parts["params"].items():
        if path.endswith("head/bias") and len(array) != len(names):
            raise CheckpointError(
                f"{folder}/{WEIGHTS}: for {len(array)} categories, but categories.txt "
                f"names {len(names)}; make the bundle again"
            )
    return Bundle(recipe, names, parts["params"], parts["statistics"])


def write(model: Bundle, folder: Path, card: str) -> None:
    """Writes a bundle, config.json last.

    Raises:
        UserError: the folder holds something else.
        DataError: a number is too large for float16.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not empty and no bundle; give a new --dest")
    arrays = {
        f"{part}/{name}": halved(
            f"{part}/{name}", array, "use the work directory itself as the model"
        )
        for part in ("params", "statistics")
        for name, array in getattr(model, part).items()
    }
    weights = save(arrays)
    checksum = {"sha256": hashlib.sha256(weights).hexdigest()}
    recipe = json.dumps(model.recipe.model_dump(mode="json") | checksum, indent=1) + "\n"
    names = "".join(f"{name}\n" for name in model.categories)
    made = {WEIGHTS: weights, "categories.txt": names, "README.md": card, "config.json": recipe}
    for name, data in made.items():
        files.write(folder / name, data)


def halved(name: str, array: np.ndarray, way_out: str) -> np.ndarray:
    """Numbers as float16. Raises DataError, which ends with `way_out`, where one is too large."""
    with np.errstate(over="ignore"):
        half = np.asarray(array, np.float16)
    if not np.isfinite(half).all():
        raise DataError(f"{name}: holds {np.abs(array).max():g}, too large for float16; {way_out}")
    return half


def card(workdir: "Workdir", model: Bundle) -> str:
    """The model card of a run: data, figures, the command that made it.

    Raises:
        CheckpointError: nothing was measured of these weights, or only of others of the run.
    """
    figures = model.figures
    if not figures:
        raise CheckpointError(
            f"{workdir.path}: its best checkpoint is not evaluated; run dsnjax evaluate there first"
        )
    weights = sum(array.size for array in model.params.values())
    worst = sorted(figures["per_category"].items(), key=lambda item: item[1]["map3"])[:5]
    weak = ", ".join(f"{name} {own['map3']:.3f}" for name, own in worst)
    run = workdir.config()
    data = run.data
    source = "made-up drawings of dsnjax" if data.store is None else f"the store {data.store.name}"
    if data.store and set(model.categories) <= set(categories.known()):
        source = "drawings of the Quick, Draw! Dataset by Google, Inc., CC BY 4.0, modified"
    return f"""# {KINDS[run.model.branches]} for {len(model.categories)} categories

{weights:,} weights; reads drawings made of strokes and names what is drawn.

| | |
|---|---|
| network | {_network(run)} |
| trained on | {source}: {figures["trained_on"]:,} |
| trained by | `{settings.command(run)}` |
| MAP@3 | {figures["map3"]:.4f} |
| accuracy | {figures["accuracy"]:.4f} |
| measured on | {figures["drawings"]:,} drawings of the {figures["split"]} split |
| protocol | {data.protocol()} |
| calibration | {_calibration(figures.get("calibration"))} |
| hardest | {weak} (MAP@3) |

Use it: `dsnjax predict --model FOLDER drawings.ndjson`.

It knows only the ways of drawing that its training drawings show. Of anything else it names the
category that is nearest, however far that is; `--min-probability 0.5` makes it say unknown where
it is not sure.
"""


def _network(run: config.Config) -> str:
    """What the network is made of, and whether center loss shaped its features."""
    model = run.model
    cnn = f"CNN ({model.cnn.block} blocks)"
    rnn = f"{'bidirectional ' if model.rnn.bidirectional else ''}{model.rnn.cell.upper()}"
    parts = {"cnn": cnn, "rnn": rnn, "both": f"{cnn} and {rnn}, which meet in their {model.fusion}"}
    return f"{parts[model.branches]}; {'with' if run.loss.alpha else 'without'} center loss"


def _calibration(measured: dict | None) -> str:
    if not measured:
        return "not measured"
    fitted, after, before = (measured[name] for name in ("fitted_on", "error", "error_before"))
    return (
        f"temperature {measured['temperature']:.3f}, fitted on {fitted:,} validation drawings; "
        f"expected calibration error on test drawings {after:.4f}, {before:.4f} without it"
    )
