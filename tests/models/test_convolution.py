import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dsnjax.models.convolution import Conv, convolve, max_pool


def case(stride, batch=6, side=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, side, side, 5)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 5, 7)).astype(np.float32)
    slope = rng.normal(size=(batch, side // stride, side // stride, 7)).astype(np.float32)
    return x, kernel, slope


def by_hand(x, kernel, stride):
    """Sum over the nine places of a window, one pixel at a time."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = range(0, x.shape[1], stride), range(0, x.shape[2], stride)
    return np.stack(
        [
            np.stack(
                [
                    np.einsum(
                        "bijc,ijcf->bf", padded[:, row : row + 3, column : column + 3], kernel
                    )
                    for column in columns
                ],
                axis=1,
            )
            for row in rows
        ],
        axis=1,
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pixel_sees_its_eight_neighbours(stride):
    x, kernel, _ = case(stride)
    np.testing.assert_allclose(
        convolve(x, kernel, stride, 1), by_hand(x, kernel, stride), atol=1e-4
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("batch", "side"), [(6, 8), (1, 4), (7, 32)])
def test_gradients_are_those_of_the_plain_convolution(stride, batch, side):
    x, kernel, slope = case(stride, batch, side)

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    wanted = jax.vjp(plain, x, kernel)[1](slope)
    got = jax.jit(lambda x, k: jax.vjp(lambda x, k: convolve(x, k, stride, 1), x, k)[1](slope))(
        x, kernel
    )
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_a_strided_convolution_halves_the_image():
    image = jnp.zeros((2, 8, 8, 3))
    assert Conv(3, 4, stride=2, rngs=nnx.Rngs(0))(image).shape == (2, 4, 4, 4)


def test_groups_see_their_own_share_of_the_inputs():
    conv = Conv(4, 6, groups=2, bias=True, rngs=nnx.Rngs(0))
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 4)), jnp.float32)
    kernel = np.asarray(conv.kernel[...])
    halves = [
        by_hand(np.asarray(image[..., own]), kernel[..., out], 1)
        for own, out in ((slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 6)))
    ]
    np.testing.assert_allclose(conv(image), np.concatenate(halves, axis=-1), atol=1e-5)


@pytest.mark.parametrize("side", [5, 8])
def test_max_pooling_takes_the_greatest_of_nine(side):
    image = np.random.default_rng(0).uniform(size=(2, side, side, 3)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = range(0, side, 2)
    rows = [[padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in places] for i in places]
    wanted = np.stack([np.stack(row, axis=1) for row in rows], axis=1)
    np.testing.assert_array_equal(max_pool(jnp.asarray(image)), wanted)
