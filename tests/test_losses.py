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


def test_cross_entropy_of_a_sure_and_right_guess_is_nothing():
    logits = jnp.array([[50.0, 0, 0], [0, 50.0, 0], [0, 50.0, 0]])
    assert losses.cross_entropy(logits, LABEL, MASK) == pytest.approx(0, abs=1e-6)


def test_padding_is_no_part_of_the_mean():
    logits = jnp.array([[1.0, 2, 3], [3, 2, 1], [9, 9, 0]])
    half = losses.cross_entropy(logits, LABEL, jnp.array([1.0, 0, 0]))
    assert half == pytest.approx(losses.cross_entropy(logits[:1], LABEL[:1], MASK[:1]))


def test_the_first_batch_puts_centers_on_the_means():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    np.testing.assert_allclose(centers.mean, [[1, 0], [3, 3], [0, 0]])
    assert centers.seen.tolist() == [1, 1, 0]


def test_center_loss_is_the_mean_of_squared_distances_summed_over_the_feature():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    feature = jnp.array([[1.0, 2], [3, 3], [4, 4]])  # squared distances 4, 0 and 2
    assert losses.center_loss(feature, centers, LABEL, MASK) == pytest.approx(2.0)


def test_a_category_without_a_center_pulls_nothing():
    nowhere = losses.no_centers(3, 2)
    assert losses.center_loss(jnp.ones((3, 2)), nowhere, LABEL, MASK) == 0


def test_later_batches_move_a_center_by_the_momentum():
    centers = moved([[4.0, 4], [0, 0], [0, 0]], times=9)
    after = losses.move_centers(centers, jnp.zeros((3, 2)), LABEL, MASK, 0.5)
    np.testing.assert_allclose(after.mean[0], [2, 2])


def test_padding_moves_no_center():
    centers = moved([[1.0, 0], [2, 2], [4, 4]], mask=jnp.array([0.0, 1, 0]))
    np.testing.assert_allclose(centers.mean, [[0, 0], [2, 2], [0, 0]])


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_total_is_the_sum_of_its_weighted_parts(alpha):
    rng = np.random.default_rng(0)
    logits = [jnp.asarray(rng.normal(size=(3, 3))) for _ in range(3)]
    feature = jnp.array([[3.0, 0], [3, 3], [3, 3]])
    output = Output(logits[0], feature, (logits[1], logits[2]), jnp.zeros(()))
    settings = config.Loss(alpha=alpha, auxiliary=0.3)
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    value, parts = losses.total(settings, output, centers, LABEL, MASK)
    own = [losses.cross_entropy(one, LABEL, MASK) for one in logits]
    wanted = own[0] + 0.3 * (own[1] + own[2]) + alpha * parts["center"]
    assert parts["center"] > 0
    assert float(value) == pytest.approx(float(wanted), rel=1e-5)


def test_center_loss_pulls_features_to_their_center_and_not_the_center_to_them():
    centers = moved([[1.0, 0], [2, 2], [4, 4]])
    feature = jnp.array([[3.0, 0], [3, 3], [3, 3]])
    pull = jax.grad(lambda f: losses.center_loss(f, centers, LABEL, MASK))(feature)
    assert pull[0, 0] > 0
    assert not np.asarray(pull[1:]).any()
    drag = jax.grad(
        lambda mean: losses.center_loss(feature, centers._replace(mean=mean), LABEL, MASK)
    )(centers.mean)
    assert not np.asarray(drag).any()
