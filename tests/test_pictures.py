import numpy as np
from PIL import Image

from dsnjax import pictures


def test_a_sheet_shows_every_drawing_over_its_caption(tmp_path):
    images = np.stack([np.full((64, 64), level, np.uint8) for level in (50, 100, 150)])
    pictures.sheet(images, ["cat", "dog", "pig"], tmp_path / "sheet.png", columns=2)
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    down = 64 + pictures.LINE
    assert page.shape == (2 * down, 2 * pictures.NARROWEST)
    found = [page[10, 48], page[10, 144], page[down + 10, 48], page[down + 10, 144]]
    assert found == [50, 100, 150, 0]
    assert page[64:down, :96].max() > 50
