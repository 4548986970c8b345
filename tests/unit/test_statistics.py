from __future__ import annotations

import numpy as np
import pytest

from tasks.core.statistics import (
    Improvement,
    changes,
    holm,
    improvement,
    mean_improvement,
    median_interval,
    verdict,
    verdicts,
)


def noisy(median: float, *, rounds: int = 25, noise: float = 0.2, seed: int = 0) -> list[float]:
    """Times around a median with the given coefficient of variation, never negative, with a long right tail."""
    draws = np.random.default_rng(seed).lognormal(0.0, noise, rounds)
    return [median * float(draw) for draw in draws]


def figure(low: float, high: float, *, p_below: float = 0.5, p_above: float = 0.5) -> Improvement:
    return Improvement(percent=(low + high) / 2, low=low, high=high, p_below=p_below, p_above=p_above)


def test_half_the_time_is_an_improvement_of_50_percent() -> None:
    exact = improvement([10.0] * 10, [5.0] * 10, target=40, seed=1)
    assert exact.percent == pytest.approx(50)
    assert exact.low == pytest.approx(50)
    assert exact.high == pytest.approx(50)


def test_twice_the_time_is_an_improvement_of_minus_100_percent() -> None:
    assert improvement([5.0] * 10, [10.0] * 10, target=40, seed=1).percent == pytest.approx(-100)


def test_a_control_without_any_difference_has_an_interval_around_zero() -> None:
    missed = 0
    for seed in range(40):
        control = improvement(noisy(10, seed=2 * seed), noisy(10, seed=2 * seed + 1), target=40, seed=1)
        missed += not control.low <= 0 <= control.high
    assert missed <= 6  # 5% of 40 are two; six would happen in one run of seventy


@pytest.mark.parametrize(("after", "expected"), [(4.0, 60.0), (20.0, -100.0)])
def test_a_planted_win_and_a_planted_regression_are_both_found(after: float, expected: float) -> None:
    found = improvement(noisy(10, seed=3), noisy(after, seed=4), target=0, seed=1)
    assert found.low < expected < found.high
    assert found.low > 0 if expected > 0 else found.high < 0


def test_the_same_seed_gives_the_same_interval() -> None:
    first = improvement(noisy(10, seed=1), noisy(6, seed=2), target=40, seed=5)
    again = improvement(noisy(10, seed=1), noisy(6, seed=2), target=40, seed=5)
    assert first == again


def test_the_mean_is_geometric_and_weighs_each_pattern_the_same() -> None:
    pairs = [([1000.0] * 6, [500.0] * 6), ([1.0] * 6, [0.125] * 6)]
    # Ratios of 1/2 and 1/8 have the geometric mean 1/4.
    assert mean_improvement(pairs, target=40, seed=1).percent == pytest.approx(75)


def test_a_win_and_an_equal_loss_cancel_out() -> None:
    pairs = [([10.0] * 6, [5.0] * 6), ([10.0] * 6, [20.0] * 6)]
    assert mean_improvement(pairs, target=0, seed=1).percent == pytest.approx(0)


@pytest.mark.parametrize("pairs", [[], [([1.0] * 4, [1.0] * 5)]])
def test_too_little_data_is_refused(pairs: list[tuple[list[float], list[float]]]) -> None:
    with pytest.raises(ValueError, match="at least 5 times"):
        mean_improvement(pairs, target=40, seed=1)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    # Holm's procedure by hand: 4 * 0.01, 3 * 0.02, 2 * 0.03 (not below the one before), 1 * 0.04 (the same).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one() -> None:
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(40.0, 50.0, "met"), (39.9, 50.0, "inconclusive"), (20.0, 40.0, "inconclusive"), (20.0, 39.9, "not_met")],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float, high: float, expected: str) -> None:
    assert verdict(figure(low, high), target=40) == expected


def test_many_patterns_need_stronger_evidence_than_one() -> None:
    weak = figure(40.1, 50, p_below=0.01, p_above=0.99)
    assert verdicts([weak]) == ["met"]
    assert verdicts([weak] * 10) == ["inconclusive"] * 10


def test_clear_patterns_are_judged_on_both_sides() -> None:
    clear = [figure(60, 70, p_below=0.0001, p_above=1.0), figure(1, 5, p_below=1.0, p_above=0.0001)]
    assert verdicts(clear) == ["met", "not_met"]


def test_rounds_that_were_disturbed_on_both_sides_do_not_widen_a_paired_interval() -> None:
    disturbed = noisy(1, noise=0.8, seed=5)
    before, after = [10 * one for one in disturbed], [6 * one for one in disturbed]
    in_turn = improvement(before, after, target=30, seed=1, paired=True)
    apart = improvement(before, after, target=30, seed=1)
    assert in_turn.high - in_turn.low < 0.1 * (apart.high - apart.low)
    assert in_turn.percent == pytest.approx(40)


def test_changes_within_the_noise_are_none_and_planted_ones_are_found_in_their_direction() -> None:
    measured = [
        improvement(noisy(10, noise=0.02, seed=1), noisy(after, noise=0.02, seed=2), target=0, seed=1)
        for after in (10.2, 5.0, 20.0)
    ]
    assert changes(measured) == ["same", "faster", "slower"]


def test_what_more_data_allow_is_not_slower() -> None:
    times = noisy(10, noise=0.02, seed=1), noisy(19, noise=0.02, seed=2)
    assert changes([improvement(*times, target=0, seed=1)]) == ["slower"]
    assert changes([improvement(*times, target=0, seed=1, allowed=2.0)]) == ["same"]


def test_the_interval_of_a_median_is_made_of_measured_times_around_it() -> None:
    # Binomial with n = 25: the 8th and the 18th of the ordered times have 95.7% between them.
    assert median_interval([float(number) for number in range(1, 26)]) == (8.0, 18.0)
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert median_interval([5.0]) == (5.0, 5.0)
