"""Answers for single drawings in, figures with their uncertainty out."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LARGEST_GROUP = 6
FEWEST = 5  # drawings taken for the other, either way, that make a pair


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean of one value a drawing, with the interval of a percentile bootstrap over drawings.

    Drawing n drawings anew from n is drawing how often each distinct value comes, one multinomial;
    so it costs the same for a million drawings as for a hundred.

    Args:
        values: [n] of few distinct values: 1, 1/2, 1/3 and 0, or differences of them.
    """
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(len(values), counts / len(values), size=RESAMPLES)
    low, high = np.quantile(drawn @ distinct / len(values), [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values))


def means(values: np.ndarray, label: np.ndarray, categories: int) -> np.ndarray:
    """Mean value of each category's drawings, 0 where it has none."""
    counts = np.bincount(label, minlength=categories)
    return np.bincount(label, values, categories) / np.maximum(counts, 1)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided exact p of McNemar's test: are two networks right equally often?

    It is never 0: what is smaller than any float is told as the smallest one.

    Args:
        first: bool [n] whether one network named each drawing rightly.
        second: bool [n] the other network, the same drawings.
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    differ = only_first + only_second
    number = np.arange(min(only_first, only_second))
    log_ways = np.cumsum(np.log(np.append(1, (differ - number) / (number + 1))))
    log_share = np.logaddexp.reduce(log_ways) - differ * math.log(2)
    return min(1.0, max(2 * math.exp(log_share), sys.float_info.min))


def groups(confusion: np.ndarray, least: float = 0.03) -> list[list[int]]:
    """Categories taken for one another, the group with most mistakes inside first.

    Pairs are joined from the most confused on, while a group has at most LARGEST_GROUP.

    Args:
        confusion: [k, k] counts, the label in the row.
        least: mean share of both categories' drawings taken for the other that makes a pair, where
            they are FEWEST at least.
    """
    rate = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    mutual = np.triu((rate + rate.T) / 2, 1) * (confusion + confusion.T >= FEWEST)
    group = {label: [label] for label in range(len(confusion))}
    for pair in np.argsort(-mutual, axis=None, kind="stable"):
        one, other = divmod(int(pair), len(confusion))
        if mutual[one, other] < least:
            break
        joined = group[one] + group[other]
        if group[one] is not group[other] and len(joined) <= LARGEST_GROUP:
            group |= dict.fromkeys(joined, joined)
    found = {id(labels): labels for labels in group.values() if len(labels) > 1}.values()
    return sorted(found, key=lambda labels: -inside(confusion, labels))


def inside(confusion: np.ndarray, labels: Sequence[int]) -> int:
    """Drawings of a group's categories that were taken for another one of the group."""
    own = confusion[np.ix_(labels, labels)]
    return int(own.sum() - np.trace(own))


def pairs(confusion: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """The `most` frequent mistakes as (label, guess, drawings)."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    found = [(*divmod(int(place), len(wrong)), int(wrong.flat[place])) for place in order]
    return [pair for pair in found if pair[2]]


def worst_pairs(confusion: np.ndarray) -> list[tuple[int, int, int]]:
    """Of each category the most frequent mistake it has a part in, as in `pairs`, each one once."""
    found = pairs(confusion, confusion.size)
    members = {member for pair in found for member in pair[:2]}
    worst = {next(pair for pair in found if member in pair[:2]) for member in members}
    return [pair for pair in found if pair in worst]
