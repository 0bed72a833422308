import numpy as np
import pytest

from dsnjax import calibration


@pytest.fixture(scope="module")
def honest():
    """Logits [b, k] and labels drawn with just the probabilities that the logits say."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    label = (calibration.softmax(logits)).cumsum(axis=1) < rng.random((4000, 1))
    return logits, label.sum(axis=1)


def test_overconfidence_is_undone(honest):
    logits, label = honest
    assert calibration.temperature(3 * logits, label) == pytest.approx(3, rel=0.05)
    assert calibration.temperature(logits / 2, label) == pytest.approx(0.5, rel=0.05)


def test_the_error_is_small_only_with_the_right_temperature(honest):
    def error(logits):
        chances = calibration.softmax(logits)
        return calibration.reliability(chances.max(axis=1), chances.argmax(axis=1) == label)[1]

    logits, label = honest
    assert error(logits) < 0.02
    assert error(3 * logits) > 0.1


def test_probabilities_that_hold_have_no_calibration_error():
    hit = np.repeat([True, False], [75, 25])
    assert calibration.reliability(np.full(100, 0.75), hit)[1] == pytest.approx(0)
    rows, error = calibration.reliability(np.full(100, 1.0), hit)
    assert (rows, error) == (
        [{"probability": 1.0, "accuracy": 0.75, "drawings": 100}],
        pytest.approx(0.25),
    )


def test_without_drawings_or_numbers_the_temperature_is_one():
    assert calibration.temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1
    assert calibration.temperature(np.full((2, 3), np.nan), np.zeros(2, int)) == 1


def test_a_handful_of_easy_drawings_does_not_make_it_certain():
    assert calibration.temperature(np.eye(3), np.arange(3)) == pytest.approx(0.25, rel=1e-3)
