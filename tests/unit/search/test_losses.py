from bmtune.search.losses import Losses


def test_a_trial_goes_on_as_often_as_it_may() -> None:
    losses = Losses(2)
    found = [losses.take(0, counted, resetting=False) for counted in (1, 2, 3)]
    assert [loss.count for loss in found] == ["1 of 2", "2 of 2", "3 of 2"]
    assert [loss.too_many for loss in found] == [False, False, True]


def test_trials_are_counted_apart() -> None:
    losses = Losses(1)
    assert not losses.take(0, 1, resetting=False).too_many
    assert not losses.take(1, 1, resetting=False).too_many


def test_none_goes_on_where_none_may() -> None:
    assert Losses(0).take(0, 1, resetting=False).too_many


def test_a_loss_that_is_told_twice_counts_once_also_where_it_was_the_last_that_may_be() -> None:
    losses = Losses(1)
    assert losses.take(0, 1, resetting=False).is_new
    again = losses.take(0, 2, resetting=True)
    assert (again.is_new, again.too_many, again.count) == (False, False, "1 of 1")
    losses.carry(0)
    assert losses.left(0) == 0
    assert losses.take(0, 1, resetting=False).too_many


def test_resets_that_fail_for_ever_end_the_trial() -> None:
    losses = Losses(2)

    def gives_up() -> bool:
        loss = losses.take(0, 1, resetting=True)
        if not loss.too_many:
            losses.carry(0)
        return loss.too_many

    assert 3 <= next(count for count in range(1, 20) if gives_up()) <= 6
