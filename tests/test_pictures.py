import numpy as np
from PIL import Image

from dsnjax import pictures


def test_a_sheet_shows_every_drawing_over_its_caption(tmp_path):
    images = np.stack([np.full((64, 64), level, np.uint8) for level in (50, 100, 150)])
    pictures.sheet(images, ["cat", "dog", "pig"], tmp_path / "sheet.png", columns=2)
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    cell = 64 + pictures.LINE
    assert page.shape == (2 * cell, 2 * 64)
    assert [page[10, 10], page[10, 74], page[cell + 10, 10], page[cell + 10, 74]] == [
        50,
        100,
        150,
        0,
    ]
    assert page[64:cell, :64].max() > 50
