import numpy as np
import pytest
from scipy import stats

from bmtune.confirmation.comparisons import against_others
from bmtune.confirmation.comparisons import holm
from bmtune.confirmation.comparisons import paired_p

FIRST, SECOND = [0.3, 0.5, 0.1, 0.45], [0.2, 0.45, 0.12, 0.3]


def test_the_p_value_is_that_of_the_paired_t_test():
    assert paired_p(FIRST, SECOND) == pytest.approx(stats.ttest_rel(FIRST, SECOND).pvalue)
    assert paired_p(SECOND, FIRST) == paired_p(FIRST, SECOND)


def test_what_all_seeds_share_does_not_count():
    shared = np.array([5.0, -3.0, 8.0, 0.0])
    assert paired_p(FIRST + shared, SECOND + shared) == pytest.approx(paired_p(FIRST, SECOND))


@pytest.mark.parametrize(("difference", "p"), [(0.0, 1.0), (0.25, 2.0**-3)])
def test_differences_without_spread_are_judged_by_their_signs(difference: float, p: float):
    assert paired_p(np.array(FIRST) + difference, FIRST) == p


def test_holm_corrects_the_smallest_most_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_the_correction_counts_the_pairs_without_the_winner_too():
    generator = np.random.default_rng(3)
    values = generator.normal(size=(4, 6)) + np.array([[3.0], [0.0], [0.1], [0.2]])
    found = against_others(values, 0)
    assert [comparison.other for comparison in found] == [1, 2, 3]
    least = min(found, key=lambda comparison: comparison.p)
    assert least.p_corrected == pytest.approx(6 * least.p)
    assert least.differs
    assert least.difference == pytest.approx(values[0].mean() - values[least.other].mean())
    assert against_others(values, 3)[2].other == 2
