import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dsnjax import config, losses
from dsnjax.models import Output

LABEL = jnp.array([0, 1, 1])
MASK = jnp.ones(3)


def moved(feature, label=LABEL, mask=MASK, times=1, momentum=0.5):
    centers = losses.no_centers(3, 2)
    for _ in range(times):
        centers = losses.move_centers(centers, jnp.asarray(feature), label, mask, momentum)
    return centers


def rows(label=LABEL, mask=MASK, centers=None):
    return losses.rows(label, mask, centers or losses.no_centers(3, 2))


def test_cross_entropy_of_a_sure_and_right_guess_is_nothing():
    logits = jnp.array([[50.0, 0, 0], [0, 50.0, 0], [0, 50.0, 0]])
    assert losses.cross_entropy(logits, rows()) == pytest.approx(0, abs=1e-6)


def test_padding_is_no_part_of_the_mean():
    logits = jnp.array([[1.0, 2, 3], [3, 2, 1], [9, 9, 0]])
    half = losses.cross_entropy(logits, rows(mask=jnp.array([1.0, 0, 0])))
    alone = losses.cross_entropy(logits[:1], rows(LABEL[:1], MASK[:1]))
    assert half == pytest.approx(alone)


def test_a_smoothed_label_is_spread_over_all_categories():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    found = losses.cross_entropy(logits, rows(LABEL[:1], MASK[:1]), smoothing=0.3)
    wanted = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_first_batch_puts_centers_on_the_means():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    np.testing.assert_allclose(centers.mean, [[1, 0], [3, 3], [0, 0]])
    assert centers.seen.tolist() == [1, 1, 0]


def test_center_loss_is_the_mean_of_squared_distances_summed_over_the_feature():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    feature = jnp.array([[1.0, 2], [3, 3], [4, 4]])  # squared distances 4, 0 and 2
    assert losses.center_loss(feature, centers, rows(centers=centers)) == pytest.approx(2.0)


def test_a_category_without_a_center_pulls_nothing():
    nowhere = losses.no_centers(3, 2)
    assert losses.center_loss(jnp.ones((3, 2)), nowhere, rows()) == 0


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_network_that_computes_in_half_precision_is_measured_in_full(dtype):
    half = jnp.ones((3, 3), dtype)
    output = Output(half, half[:, :2], (half, half), jnp.zeros(()))
    value, parts = losses.total(config.Loss(), 0.1, output, moved(half[:, :2]), rows())
    assert {leaf.dtype for leaf in jax.tree.leaves((value, parts))} == {jnp.dtype("float32")}
    assert moved(half[:, :2]).mean.dtype == jnp.float32


def test_later_batches_move_a_center_by_the_momentum():
    centers = moved([[4.0, 4], [0, 0], [0, 0]], times=9)
    after = losses.move_centers(centers, jnp.zeros((3, 2)), LABEL, MASK, 0.5)
    np.testing.assert_allclose(after.mean[0], [2, 2])


def test_padding_moves_no_center():
    centers = moved([[1.0, 0], [2, 2], [4, 4]], mask=jnp.array([0.0, 1, 0]))
    np.testing.assert_allclose(centers.mean, [[0, 0], [2, 2], [0, 0]])


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_total_is_the_sum_of_its_weighted_parts(alpha, smoothing):
    """Labels are smoothed in what is trained on, and not in the cross entropy that is told."""
    rng = np.random.default_rng(0)
    logits = [jnp.asarray(rng.normal(size=(3, 3))) for _ in range(3)]
    feature = jnp.array([[3.0, 0], [3, 3], [3, 3]])
    output = Output(logits[0], feature, (logits[1], logits[2]), jnp.zeros(()))
    settings = config.Loss(alpha=alpha, auxiliary=0.3, label_smoothing=smoothing)
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    value, parts = losses.total(settings, alpha, output, centers, rows(centers=centers))
    own = [losses.cross_entropy(one, rows(), smoothing) for one in logits]
    wanted = own[0] + 0.3 * (own[1] + own[2]) + alpha * parts["center"]
    assert parts["center"] > 0
    assert parts["cross_entropy"] == losses.cross_entropy(logits[0], rows())
    assert float(value) == pytest.approx(float(wanted), rel=1e-5)


def test_center_loss_pulls_features_to_their_center_and_not_the_center_to_them():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    feature = jnp.array([[3.0, 0], [3, 3], [3, 3]])
    pull = jax.grad(lambda f: losses.center_loss(f, centers, rows(centers=centers)))(feature)
    assert pull[0, 0] > 0
    assert not np.asarray(pull[1:]).any()
    weights = rows(centers=centers)
    drag = jax.grad(lambda mean: losses.center_loss(feature, centers._replace(mean=mean), weights))(
        centers.mean
    )
    assert not np.asarray(drag).any()
