"""The hash of every drawing in, its split out: train, valid or test, the same for ever.

A drawing's split depends on its own hash alone: more drawings, another order or other
categories move none of them, and two copies of a drawing never part.
"""

import numpy as np

TRAIN, VALID, TEST = 0, 1, 2
NAMES = ("train", "valid", "test")


def split(hash: np.ndarray, valid: float = 0.1, test: float = 0.1) -> np.ndarray:
    """Splits by share; train is what valid and test leave.

    Args:
        hash: uint64 [n], evenly spread: the store's column.
        valid: share of the drawings to choose a model by.
        test: share of the drawings to report. Another share of valid leaves test as it is.

    Returns:
        int8 [n] of TRAIN, VALID, TEST.
    """
    if valid < 0 or test < 0 or valid + test > 1:
        raise ValueError(f"split: want shares that sum to at most 1, got {valid=} and {test=}")
    place = (hash >> np.uint64(11)) * 2.0**-53  # exact: a float64 holds 53 bits
    result = np.full(len(hash), TRAIN, np.int8)
    result[place < test + valid] = VALID
    result[place < test] = TEST
    return result
