"""Images in, numbers about them out."""

from __future__ import annotations

import functools

import numpy as np

from raster import kernels


def entropy(images: np.ndarray) -> np.ndarray:
    """Shannon entropy of each image's grey levels, in bits, to 2e-6.

    Args:
        images: [b, ...] uint8; every axis after the first belongs to the image.

    Returns [b] float32, 0 for an image of one level. Raises TypeError for other dtypes and shapes
    and ValueError for images without pixels.
    """
    if images.dtype != np.uint8 or images.ndim < 2:
        raise TypeError(f"entropy: got {images.dtype} {images.shape}; want uint8 [b, h, w]")
    area = int(np.prod(images.shape[1:]))
    if area == 0:
        raise ValueError(f"entropy: images of shape {images.shape[1:]} have no pixels")
    flat = np.ascontiguousarray(images).reshape(len(images), area)
    if area % 8:
        flat = np.pad(flat, ((0, 0), (0, -area % 8)))
    words = flat.view(np.uint64)
    work = (np.empty(4 * 256, np.int32), np.empty(words.shape[1] + 1, np.uint64))
    result = np.empty(len(images), np.float32)
    kernels.entropy(words, area, _logs(area), work, result)
    return result


@functools.lru_cache(maxsize=8)
def _logs(area: int) -> np.ndarray:
    """c * log2(c) for every count c of 0..area."""
    counts = np.arange(area + 1, dtype=np.float64)
    counts[1:] *= np.log2(counts[1:])
    return counts.astype(np.float32)
