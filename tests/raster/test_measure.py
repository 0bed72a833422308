import numpy as np
import pytest

import raster


def shannon(image):
    share = np.bincount(image.ravel(), minlength=256) / image.size
    return -sum(p * np.log2(p) for p in share if p)


@pytest.mark.parametrize("shape", [(96, 96), (28, 28, 3), (9, 9), (1, 3), (1,)])
def test_entropy_is_shannons(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, *shape)).astype(np.uint8)
    images[1] = images[1] // 64 * 64
    images[2, ..., :1] = 0
    assert np.allclose(raster.entropy(images), [shannon(image) for image in images], atol=4e-6)


def test_an_image_of_one_level_has_no_entropy():
    images = np.array([0, 255], np.uint8).repeat(64).reshape(2, 8, 8)
    assert raster.entropy(images).tolist() == [0, 0]


def test_half_black_and_half_white_is_one_bit():
    image = np.zeros((1, 10, 10), np.uint8)
    image[0, :5] = 255
    assert raster.entropy(image).tolist() == [1]


def test_a_scribble_has_more_entropy_than_a_line():
    rng = np.random.default_rng(1)
    scribble = [rng.integers(0, 256, (2, 60)).tolist()]
    images = raster.render(raster.pack([[[[0, 255], [9, 9]]], scribble]))
    line, scribbled = raster.entropy(images)
    assert line < scribbled


def test_images_may_lie_apart_in_memory():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (4, 16, 16)).astype(np.uint8)
    apart = images[::2, :, ::2]
    assert np.allclose(raster.entropy(apart), [shannon(image) for image in apart], atol=4e-6)


def test_images_are_bytes():
    with pytest.raises(TypeError, match=r"got float64 \(2, 4, 4\); want uint8"):
        raster.entropy(np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="have no pixels"):
        raster.entropy(np.zeros((2, 0, 4), np.uint8))
