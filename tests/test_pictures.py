import numpy as np
from PIL import Image

from dsnjax import pictures


def test_a_sheet_shows_every_drawing_over_its_caption(tmp_path):
    levels = range(50, 160, 10)
    images = np.stack([np.full((64, 64), level, np.uint8) for level in levels])
    pictures.sheet(images, ["cat"] * len(levels), tmp_path / "sheet.png")
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    down = 64 + pictures.LINE
    assert page.shape == (2 * down, 10 * pictures.NARROWEST)
    above, below = (page[row, 48 :: pictures.NARROWEST] for row in (10, down + 10))
    assert above.tolist() == [*levels[:10]]
    assert below.tolist() == [levels[10], *[0] * 9]
    assert page[64:down, :96].max() > 50


def test_a_stroke_of_one_point_is_a_path_that_renderers_draw():
    text = pictures.svg([[[5], [9]], [[5, 7, 7], [9, 9, 0]]], 64, 2)
    assert '<path d="M5 9l0+0"/>\n<path d="M5 9l2+0 0-9"/>' in text
