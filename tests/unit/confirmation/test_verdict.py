import pytest

from bmtune.confirmation.verdict import Measured
from bmtune.confirmation.verdict import judge
from bmtune.records import Objective

FID, ACC = Objective(metric="fid", mode="min"), Objective(metric="acc", mode="max")
SEEDS = (11, 12, 13, 14, 15)
GOOD, SAME, BAD = (1.0, 1.2, 0.9, 1.1, 1.0), (1.1, 1.1, 1.0, 1.2, 0.9), (5.0, 5.1, 5.0, 5.3, 4.9)


def measured(values, chosen=(17, 4), objective=FID, base=0):
    return Measured(objective, SEEDS, values, base, chosen)


def test_the_searchs_best_is_confirmed_in_words_and_numbers():
    found = judge(measured({17: GOOD, 4: SAME, 0: BAD}), [{"fid": 1.0}, {"fid": 2.0}])
    assert found.verdict.startswith("trial 17 confirmed: fid 1.0")
    assert " +- 0." in found.verdict
    assert "over 5 seeds, better than the base configuration (p < .001)" in found.verdict
    assert "not distinguishable from trial 4 (p = .7)" in found.verdict
    assert (found.trial, found.search_best, found.base) == (17, 17, 0)
    assert [entry.trial for entry in found.trials] == [17, 4, 0]
    assert [(entry.trial, entry.differs) for entry in found.comparisons] == [(4, False), (0, True)]
    assert found.test["fid"].value == 1.5


def test_another_winner_is_said_to_be_one():
    found = judge(measured({17: BAD, 4: GOOD, 0: BAD}), ())
    assert found.verdict.startswith("trial 4 in place of trial 17, the search's best: fid ")
    assert (found.trial, found.search_best) == (4, 17)


def test_the_base_configuration_may_win():
    found = judge(measured({17: BAD, 4: BAD, 0: GOOD}), ())
    assert "trial 0, the base configuration in place of trial 17, the search's best: " in found.verdict
    assert "the search found nothing better" in found.verdict


def test_the_direction_of_the_metric_decides():
    assert measured({17: GOOD, 0: BAD}, (17,), ACC).winner == 0
    assert measured({17: GOOD, 0: BAD}, (17,)).winner == 17


def test_equal_ones_leave_the_searchs_best_in_its_place():
    assert measured({17: GOOD, 4: GOOD, 0: BAD}).winner == 17


def test_one_that_failed_on_a_seed_cannot_win_and_is_named():
    found = judge(measured({17: (*GOOD[:4], None), 4: SAME, 0: BAD}), ())
    assert found.trial == 4
    assert found.verdict.endswith("trial 17 failed on 1 of 5 seeds")
    assert [entry.mean is None for entry in found.trials] == [True, False, False]
    assert [entry.trial for entry in found.comparisons] == [0]
    assert measured({17: (*GOOD[:4], None), 0: (None,) * 5}, (17,)).winner is None


def test_alone_it_has_nothing_to_be_compared_with():
    found = judge(measured({17: GOOD, 0: (None,) * 5}, (17,)), ())
    assert found.comparisons == ()
    assert found.estimate == found.trials[0].mean


@pytest.mark.parametrize(("objective", "even"), [(FID, 2), (ACC, 0)])
def test_the_model_that_is_kept_is_the_median(objective, even):
    assert measured({17: GOOD}, (17,), objective).median_seed(17) in (0, 4)
    four = Measured(objective, SEEDS[:4], {17: (1.0, 9.0, 2.0, 0.5)}, 0, (17,))
    assert four.median_seed(17) == even
