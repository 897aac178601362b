import pytest
import torch

from bmtune.attacks import apgd
from bmtune.attacks import attack
from bmtune.attacks import attack_noise
from bmtune.attacks import attempts
from bmtune.attacks import ball_noise
from bmtune.attacks import fgm
from bmtune.attacks import log_odds
from bmtune.attacks import make_ball
from bmtune.attacks import pgd
from bmtune.attacks import row_slopes
from bmtune.attacks import worst
from bmtune.config.adversarial import AttackConfig

ATTACKS = {
    "fgm": fgm,
    "pgd": lambda *arguments: pgd(*arguments, steps=5, relative_step=2.5),
    "apgd": lambda *arguments: apgd(*arguments, steps=12),
}
NORMS = ["l2", "linf"]
each_attack = pytest.mark.parametrize("name", ATTACKS)
each_norm = pytest.mark.parametrize("norm", NORMS)


def length(norm, offsets):
    return offsets.norm(dim=-1) if norm == "l2" else offsets.abs().amax(-1)


def starts(norm, x, radius, restarts=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return radius * ball_noise(norm, (restarts, *x.shape), generator, x.dtype)


@pytest.mark.parametrize("embedding", ["legendre", "fourier", "hermite", "chebyshev1", "chebyshev2"])
@each_norm
@each_attack
def test_every_iterate_is_in_ball_and_interval(victim, name, norm, embedding):
    born = victim(embedding=embedding)
    low, high = born.interval
    radius, seen = 0.4 * (high - low), []

    def loss(x):
        seen.append(x.detach())
        return born.loss(x)

    ball = make_ball(norm, born.x, radius, born.interval)
    # These starts lie outside the ball, and outside the interval.
    found = ATTACKS[name](loss, ball, 3 * starts(norm, born.x, radius))
    everything = torch.cat((torch.stack(seen), found))
    assert length(norm, everything - born.x).max() <= radius * (1 + 1e-12)
    assert everything.min() >= low
    assert everything.max() <= high
    assert born.survivors(found) < born.survivors(born.x[None])


@each_norm
@each_attack
def test_radius_zero_returns_the_rows_themselves(victim, name, norm):
    born = victim()
    for radius in (0.0, torch.tensor(0.0, dtype=torch.float64)):
        found = ATTACKS[name](born.loss, make_ball(norm, born.x, radius, born.interval), starts(norm, born.x, 1.0))
        assert torch.equal(found[0], born.x)


@each_attack
def test_rows_without_slope_stay_where_they_start(name):
    x = torch.full((3, 2), 0.5)
    noise = starts("l2", x, 0.1)
    found = ATTACKS[name](lambda rows: (0 * rows).sum(-1), make_ball("l2", x, 0.1, (0.0, 1.0)), noise)
    torch.testing.assert_close(found, x + noise)


@each_attack
def test_a_row_whose_loss_is_not_a_number_spoils_no_other(name):
    x = torch.tensor([[0.5, 0.5], [0.2, 0.2]])

    def loss(rows):
        return rows.sum(-1) + torch.tensor([0.0, torch.nan]) * rows[:, 0]

    found = ATTACKS[name](loss, make_ball("linf", x, 0.1, (0.0, 1.0)), torch.zeros(1, 2, 2))[0]
    torch.testing.assert_close(found[0], torch.tensor([0.6, 0.6]))
    assert torch.equal(found[1, 0], x[1, 0])


@each_attack
def test_a_linear_loss_is_raised_as_far_as_the_ball_allows(name):
    x, slope = torch.tensor([[0.0, 0.0], [0.95, 0.0]]), torch.tensor([3.0, -4.0])
    for norm, step in (("l2", [0.06, -0.08]), ("linf", [0.1, -0.1])):
        ball = make_ball(norm, x, 0.1, (-1.0, 1.0))
        found = ATTACKS[name](lambda rows: rows @ slope, ball, torch.zeros(1, 2, 2))[0]
        torch.testing.assert_close(found[0], torch.tensor(step), rtol=1e-3, atol=1e-4)
        # The interval cuts the second row's way short.
        assert found[1, 0] == 1


@each_norm
def test_the_stronger_attack_leaves_no_more_survivors(victim, norm):
    for dataset in ("moons_small", "circles_small"):
        born = victim(dataset)
        radius = 0.08 * (born.interval[1] - born.interval[0])
        ball = make_ball(norm, born.x, radius, born.interval)
        at_rows = torch.zeros(1, *born.x.shape, dtype=born.x.dtype)
        noise = torch.cat((at_rows, starts(norm, born.x, radius, restarts=2)))
        left = [
            born.survivors(found)
            for found in (
                born.x[None],
                fgm(born.loss, ball, at_rows),
                pgd(born.loss, ball, noise, steps=20, relative_step=2.5),
                apgd(born.loss, ball, noise, steps=50),
            )
        ]
        assert left == sorted(left, reverse=True)
        assert left[-1] < left[0]


@each_norm
def test_more_steps_and_restarts_raise_the_loss(victim, norm):
    born = victim()
    config = AttackConfig(norm=norm, restarts=4)
    noise = 0.2 * attack_noise(config, tuple(born.x.shape), torch.Generator().manual_seed(0), torch.float64)
    assert noise.shape == (4, *born.x.shape)
    several = attack(config, born.loss, born.x, noise, radius=0.2, interval=born.interval)
    single = attempts(config, born.loss, born.x, noise, radius=0.2, interval=born.interval)
    losses = torch.stack([born.loss(x) for x in single])
    torch.testing.assert_close(born.loss(several), losses.amax(0))
    assert (losses.argmax(0) > 0).any()


def test_the_worst_attempt_is_never_one_whose_loss_is_not_a_number():
    found = torch.tensor([[[1.0], [1.0]], [[2.0], [2.0]]])

    def loss(x):
        return torch.where(x[:, 0] == torch.tensor([2.0, 1.0]), torch.nan, x[:, 0])

    assert worst(loss, found).tolist() == [[1.0], [2.0]]


def test_only_an_attack_with_a_random_start_gets_noise():
    def noise(**fields):
        return attack_noise(AttackConfig(**fields), (3, 2), torch.Generator().manual_seed(0), torch.float32)

    assert noise(restarts=2).shape == (2, 3, 2)
    assert noise(restarts=2).abs().min() > 0
    for fields in ({"name": "fgm"}, {"random_start": False}):
        assert torch.equal(noise(restarts=2, **fields), torch.zeros(1, 3, 2))


def test_slopes_are_those_of_finite_differences(victim):
    born = victim("circles_small", "fourier")
    values, slope = row_slopes(born.loss, born.x)
    torch.testing.assert_close(values, born.loss(born.x))
    for site in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[site] = 1e-6
        numeric = (born.loss(born.x + step) - born.loss(born.x - step)) / 2e-6
        torch.testing.assert_close(slope[:, site], numeric, rtol=1e-4, atol=1e-4)


@each_norm
@each_attack
def test_under_vmap_each_lane_is_attacked_as_if_alone(victim, name, norm):
    born = victim()
    scales = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    radii = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
    x, labels = born.x[:30], born.labels[:30]
    noise = starts(norm, x, 0.1, restarts=2)

    def lane(scale, radius):
        def loss(rows):
            weights = born.weights(rows * scale)
            return (weights * torch.stack((labels, 1 - labels))).sum(0) - (
                weights * torch.stack((1 - labels, labels))
            ).sum(0)

        return ATTACKS[name](loss, make_ball(norm, x, radius, born.interval), noise)

    alone = torch.stack([lane(scale, radius) for scale, radius in zip(scales, radii, strict=True)])
    torch.testing.assert_close(torch.vmap(lane)(scales, radii), alone, rtol=1e-9, atol=1e-9)


LANE_ATTACKS = {
    "fgm": lambda norm: AttackConfig(name="fgm", norm=norm),
    "pgd": lambda norm: AttackConfig(norm=norm, steps=6, restarts=2),
}


class Lanes:
    """Three models attacked together, each with rows, starts and a radius of its own, and each alone."""

    def __init__(self, born, norm, restarts):
        self.born, self.norm = born, norm
        self.scales = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        self.radii = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
        self.x = torch.stack((born.x[:20], born.x[20:40], born.x[:20]))
        self.labels = torch.stack((born.labels[:20], born.labels[20:40], born.labels[:20]))
        drawn = [starts(norm, x, 1.0, restarts, seed) for seed, x in enumerate(self.x)]
        self.noise = torch.stack(drawn) * self.radii[:, None, None, None]

    def loss(self, x):
        return torch.stack([self.alone(lane)(rows) for lane, rows in enumerate(x)])

    def alone(self, lane):
        return lambda rows: log_odds(self.born.weights(rows * self.scales[lane]), self.labels[lane])


@each_norm
@pytest.mark.parametrize("name", LANE_ATTACKS)
def test_lanes_with_radii_of_their_own_are_attacked_as_if_alone(victim, name, norm):
    config, born = LANE_ATTACKS[name](norm), victim()
    lanes = Lanes(born, norm, config.restarts)
    radii = lanes.radii[:, None, None]
    together = attack(config, lanes.loss, lanes.x, lanes.noise, radius=radii, interval=born.interval)
    for lane, radius in enumerate(lanes.radii):
        alone = attack(
            config, lanes.alone(lane), lanes.x[lane], lanes.noise[lane], radius=radius, interval=born.interval
        )
        assert torch.equal(together[lane], alone)
    assert torch.equal(together[0], lanes.x[0])
    assert (length(norm, together - lanes.x).amax(1)[1:] > 0.9 * lanes.radii[1:]).all()


@each_norm
@each_attack
def test_attempts_of_lanes_are_those_of_each_alone(victim, name, norm):
    born = victim()
    lanes = Lanes(born, norm, 2)
    ball = make_ball(norm, lanes.x, lanes.radii[:, None, None], born.interval)
    together = ATTACKS[name](lanes.loss, ball, lanes.noise)
    assert together.shape == (3, 2, 20, 2)
    for lane, radius in enumerate(lanes.radii):
        ball = make_ball(norm, lanes.x[lane], radius, born.interval)
        assert torch.equal(together[lane], ATTACKS[name](lanes.alone(lane), ball, lanes.noise[lane]))


@each_norm
@each_attack
def test_a_lane_whose_losses_are_not_numbers_changes_no_bit_of_another(victim, name, norm):
    lanes = Lanes(victim(), norm, 2)
    ball = make_ball(norm, lanes.x, lanes.radii[:, None, None], lanes.born.interval)
    well = ATTACKS[name](lanes.loss, ball, lanes.noise)
    lanes.scales[1] = torch.nan
    sick = ATTACKS[name](lanes.loss, ball, lanes.noise)
    assert torch.equal(sick[::2], well[::2])
    assert not torch.equal(sick[1], well[1])


def test_gradients_outside_are_neither_needed_nor_touched(victim):
    born = victim()
    ball = make_ball("l2", born.x, 0.1, born.interval)
    with torch.no_grad():
        found = pgd(born.loss, ball, torch.zeros(1, *born.x.shape), steps=3, relative_step=1.0)
    assert not found.requires_grad
    assert torch.equal(found, pgd(born.loss, ball, torch.zeros(1, *born.x.shape), steps=3, relative_step=1.0))
