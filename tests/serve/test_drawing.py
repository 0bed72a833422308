"""What the page draws, compared with raster: the page's own JavaScript, run by node."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import raster
from dsnjax.data import synthetic

SCRIPT = Path(__file__).with_name("prepare.mjs")
LENGTH = 96
LARGEST = 2  # of 255: raster's float32 sums may be rounded once less, where the processor can


def by_the_page(drawings: list, size: int, thickness: float) -> list[dict]:
    if not shutil.which("node"):
        pytest.skip("no node on this machine to run the page's drawing code")
    asked = {"size": size, "thickness": thickness, "length": LENGTH}
    lines = "\n".join(json.dumps({"raw": drawing, **asked}) for drawing in drawings)
    run = subprocess.run(["node", SCRIPT], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def compare(drawings: list, size: int, thickness: float, exact: float) -> None:
    """Asserts that both simplify a share `exact` alike, and draw alike what the page simplified."""
    made = by_the_page(drawings, size, thickness)
    alike = [
        raster.simplify(raw) == one["drawing"] for raw, one in zip(drawings, made, strict=True)
    ]
    assert np.mean(alike) >= exact
    packed = raster.pack([one["drawing"] for one in made])
    wanted = raster.render(packed, size=size, thickness=thickness)
    bytes_ = b"".join(base64.b64decode(one["image"]) for one in made)
    got = np.frombuffer(bytes_, np.uint8).reshape(wanted.shape)
    gap = np.abs(wanted.astype(int) - got)
    print(
        f"{len(made)} drawings at {size} px: largest difference {gap.max()} of 255, "
        f"{np.count_nonzero(gap)} of {gap.size} pixels differ; {np.mean(alike):.2%} "
        "simplified alike"
    )
    assert gap.max() <= LARGEST
    assert np.mean(gap > 0) < 1e-4
    points, lengths = raster.sequences(packed, LENGTH)
    np.testing.assert_array_equal(points.reshape(len(made), -1), [one["points"] for one in made])
    np.testing.assert_array_equal(lengths, [one["count"] for one in made])


@pytest.mark.parametrize(("size", "thickness"), [(64, 2.0), (96, 3.5), (300, 1.0)])
def test_made_up_drawings_come_out_as_rasters(size, thickness):
    drawings = [row["drawing"] for row in synthetic.drawings(4, seed=0)]
    compare(drawings, size, thickness, exact=0.98)


@pytest.mark.parametrize(
    "raw",
    [
        [[[5], [7]]],
        [[[5, 5, 5], [7, 7, 7]]],
        [[[0, 1000], [0, 0]], [[500], [0]]],
        [[[0, 1e-12], [0, 0]]],
        [[[-1e9, 1e9], [3, 4]]],
        [[[k % 7, k % 5], [k % 3, 9]] for k in range(14)],
    ],
    ids=["dot", "still", "line and dot", "tiny", "huge", "many strokes"],
)
def test_odd_drawings_come_out_as_rasters(raw):
    compare([raw], 64, 2.0, exact=1)


@pytest.mark.real
def test_real_drawings_come_out_as_rasters(quickdraw):
    files = sorted((quickdraw / "full" / "raw").glob("*.ndjson"))
    drawings = [
        [stroke[:2] for stroke in json.loads(line)["drawing"]]
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()[:4]
    ]
    compare(drawings, 64, 2.0, exact=0.99)
