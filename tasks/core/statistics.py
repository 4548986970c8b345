"""Figures that can be defended: medians, bootstrap intervals, and verdicts that hold for all patterns together.

An improvement is `100 * (1 - after / before)` percent of the median time: 50 means half the time, 0 no change, -100
twice the time. Times are milliseconds throughout. Everything random is seeded: the same measurements give the same
figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.core.benchmark_models import Change
from tasks.core.models import Verdict

CONFIDENCE = 0.95
RESAMPLES = 9999
FEWEST_TIMES = 5
SHORTEST_MS = 1e-6  # below what any clock here can tell; keeps ratios finite
# Two executions of one plan on the same blocks differ by this much from run to run; less is no difference.
NOISE_PERCENT = 5.0

Times: TypeAlias = Sequence[float]
Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Improvement:
    """An improvement and what is known about it.

    Attributes:
        percent: the estimate, from the medians as measured.
        low: lower bound of the two-sided 95% bootstrap interval (percentile method), in percent.
        high: its upper bound.
        p_below: share of resamples below the target; small is evidence that the target is reached.
        p_above: share of resamples at the target or above; small is evidence that the target is missed.
        p_not_faster: share of resamples that are no gain beyond the noise; small is evidence of a gain.
        p_not_slower: share of resamples that are no loss beyond the noise; small is evidence of a loss.
    """

    percent: float
    low: float
    high: float
    p_below: float
    p_above: float
    p_not_faster: float = 1.0
    p_not_slower: float = 1.0


def improvement(
    before: Times, after: Times, *, target: float, seed: int, paired: bool = False, allowed: float = 1.0
) -> Improvement:
    """The improvement of one pattern.

    The percentile method is taken since BCa's jackknife is not consistent for a median.

    :param before: times in ms, at least five.
    :param after: the same; the lengths may differ.
    :param target: in percent.
    :param paired: both were timed in turn, round by round.
    :param allowed: a ratio after / before up to which, and beyond it the noise, nothing counts as slower: 2 where there
        are twice the data.
    :raises ValueError: if there are fewer than five times on a side.
    """
    return mean_improvement([(before, after)], target=target, seed=seed, paired=paired, allowed=allowed)


def mean_improvement(
    pairs: Sequence[tuple[Times, Times]], *, target: float, seed: int, paired: bool = False, allowed: float = 1.0
) -> Improvement:
    """The improvement that the geometric mean of the ratios after / before of several patterns stands for.

    Each pattern weighs the same, however long it takes. Every side of every pattern is resampled by itself; if they were
    timed in turn, whole rounds are: what disturbed a round disturbed both sides of it.

    :param pairs: for each pattern its times before and after, in ms, at least five each.
    :param target: in percent.
    :param paired: both sides of every pattern have as many times, one of each per round.
    :param allowed: as for `improvement`.
    :raises ValueError: if there is no pattern, or a side has fewer than five times.
    """
    from scipy import stats  # noqa: PLC0415 - a second and 60 MB, which only a comparison needs

    samples = [np.maximum(np.asarray(side, dtype=float), SHORTEST_MS) for pair in pairs for side in pair]
    if not samples or min(sample.size for sample in samples) < FEWEST_TIMES:
        message = f"an interval needs at least {FEWEST_TIMES} times before and after, and at least one pattern"
        raise ValueError(message)
    result = stats.bootstrap(
        samples,
        _mean_improvement,
        n_resamples=RESAMPLES,
        batch=500,
        vectorized=True,
        paired=paired,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    resampled = result.bootstrap_distribution
    slower = 100 * (1 - allowed) - NOISE_PERCENT
    return Improvement(
        percent=float(_mean_improvement(*samples)),
        low=float(result.confidence_interval.low),
        high=float(result.confidence_interval.high),
        p_below=float((1 + np.count_nonzero(resampled < target)) / (RESAMPLES + 1)),
        p_above=float((1 + np.count_nonzero(resampled >= target)) / (RESAMPLES + 1)),
        p_not_faster=float((1 + np.count_nonzero(resampled <= NOISE_PERCENT)) / (RESAMPLES + 1)),
        p_not_slower=float((1 + np.count_nonzero(resampled >= slower)) / (RESAMPLES + 1)),
    )


def _mean_improvement(*samples: Array, axis: int = -1) -> Any:
    logarithms = [np.log(np.median(sample, axis=axis)) for sample in samples]
    ratios = [after - before for before, after in zip(logarithms[::2], logarithms[1::2], strict=True)]
    return 100 * (1 - np.exp(np.mean(ratios, axis=0)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for having asked several questions (Holm 1979), in the order given.

    :returns: adjusted p-values, at most 1; comparing each with alpha keeps the chance of any false claim below alpha.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(one: Improvement, *, target: float) -> Verdict:
    """Met if the lower bound reaches the target, not met if the upper one stays below it, else inconclusive."""
    if one.low >= target:
        return "met"
    return "not_met" if one.high < target else "inconclusive"


def verdicts(many: Sequence[Improvement]) -> list[Verdict]:
    """The verdicts of several patterns, such that all claims hold together with 95% confidence.

    As for a single figure each side has 2.5%, but the p-values are Holm's: a pattern whose own interval just reaches
    the target may still be inconclusive.
    """
    level = (1 - CONFIDENCE) / 2
    below = holm([one.p_below for one in many])
    above = holm([one.p_above for one in many])
    return [
        "met" if reached <= level else "not_met" if missed <= level else "inconclusive"
        for reached, missed in zip(below, above, strict=True)
    ]


def changes(many: Sequence[Improvement]) -> list[Change]:
    """Which patterns have become faster or slower beyond the noise, such that all claims hold together (Holm)."""
    level = (1 - CONFIDENCE) / 2
    faster = holm([one.p_not_faster for one in many])
    slower = holm([one.p_not_slower for one in many])
    return [
        "faster" if gained <= level else "slower" if lost <= level else "same"
        for gained, lost in zip(faster, slower, strict=True)
    ]


def median_interval(times: Times) -> tuple[float, float]:
    """A 95% interval of the median from the order of the times alone, whatever their distribution (binomial).

    :param times: in ms, at least one; with fewer than six the interval is all that there is.
    """
    ordered = sorted(times)
    # How many of the smallest may be left out, so that the median is below the next one in at most 2.5% of samples.
    below, skipped = 0.0, -1
    while skipped + 1 <= (len(ordered) - 1) // 2:
        below += math.comb(len(ordered), skipped + 1) / 2 ** len(ordered)
        if below > (1 - CONFIDENCE) / 2:
            break
        skipped += 1
    skipped = max(0, skipped)
    return ordered[skipped], ordered[-1 - skipped]
