import torch

from bmtune.attacks import apgd
from bmtune.attacks import make_ball
from bmtune.attacks.apgd import checkpoints


def test_checkpoints_are_the_published_ones():
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)
    assert checkpoints(1) == (1,)


def test_the_best_point_is_kept_where_the_last_is_worse():
    # Steps of twice the radius jump over the maximum at .3 in both directions.
    x = torch.zeros(1, 1, dtype=torch.float64)

    def loss(rows):
        return -(rows[:, 0] - 0.3).abs()

    ball = make_ball("l2", x, 1.0, (-2.0, 2.0))
    found = [
        loss(apgd(loss, ball, torch.zeros(1, 1, 1, dtype=torch.float64), steps=steps)[0]) for steps in (1, 5, 40, 100)
    ]
    assert found == sorted(found)
    assert found[-1] > -2e-3


def test_each_row_halves_its_own_step():
    x = torch.zeros(2, 1, dtype=torch.float64)
    goals = torch.tensor([0.3, -0.77], dtype=torch.float64)

    def loss(rows):
        return -(rows[:, 0] - goals).abs()

    def alone(row):
        def one(rows):
            return -(rows[:, 0] - goals[row]).abs()

        return apgd(one, make_ball("l2", x[:1], 1.0, (-2.0, 2.0)), torch.zeros(1, 1, 1, dtype=torch.float64), steps=60)

    together = apgd(loss, make_ball("l2", x, 1.0, (-2.0, 2.0)), torch.zeros(1, 2, 1, dtype=torch.float64), steps=60)
    assert torch.equal(together, torch.cat((alone(0), alone(1)), 1))
    torch.testing.assert_close(together[0, :, 0], goals, rtol=0, atol=0.01)


def test_it_leaves_a_local_maximum_that_a_small_step_would_not():
    # Two hills: the start stands on the low one.
    x = torch.zeros(1, 1, dtype=torch.float64)

    def loss(rows):
        place = rows[:, 0]
        return torch.exp(-30 * place.square()) + 2 * torch.exp(-4 * (place - 0.9).square())

    noise = torch.full((1, 1, 1), -0.02, dtype=torch.float64)
    found = apgd(loss, make_ball("l2", x, 1.0, (-2.0, 2.0)), noise, steps=50)
    torch.testing.assert_close(found[0], torch.full((1, 1), 0.9, dtype=torch.float64), rtol=0, atol=0.02)
