import pytest
import torch

from bmtune.evaluation import frechet_distance


def rows(num_rows, num_features, seed=0):
    return torch.rand(num_rows, num_features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("num_rows", "num_features"), [(100, 2), (30, 64), (2, 3)])
def test_identical_rows_are_at_distance_zero_also_where_the_covariance_is_singular(num_rows, num_features):
    same = rows(num_rows, num_features)
    same[:, 0] = 0.5
    assert 0 <= frechet_distance(same, same.flip(0)).item() < 1e-12


def test_distance_is_symmetric_and_never_negative():
    for seed in range(20):
        first, second = rows(9, 5, seed), rows(12, 5, seed + 100)
        forward, backward = frechet_distance(first, second).item(), frechet_distance(second, first).item()
        assert forward >= 0
        assert forward == pytest.approx(backward, rel=1e-10)


def test_a_shift_costs_its_squared_length():
    near = rows(40, 3)
    assert frechet_distance(near, near + torch.tensor([1.0, 2.0, 2.0])).item() == pytest.approx(9.0, rel=1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_makes_the_distance_nan(value):
    bad = rows(10, 3)
    bad[4, 1] = value
    assert frechet_distance(rows(10, 3), bad).isnan()
    assert frechet_distance(bad, rows(10, 3)).isnan()


def test_sets_in_front_are_compared_one_by_one_and_a_sick_one_spoils_no_other():
    real = torch.stack([rows(12, 3, seed) for seed in range(2)])
    drawn = torch.stack([rows(9, 3, seed) for seed in range(10, 16)]).view(3, 2, 9, 3).clone()
    well = frechet_distance(real, drawn)
    assert well.shape == (3, 2)
    for lane in range(3):
        for label in range(2):
            alone = frechet_distance(real[label], drawn[lane, label]).item()
            assert well[lane, label].item() == pytest.approx(alone, rel=1e-12)
    drawn[1, 0, 2] = torch.nan
    sick = frechet_distance(real, drawn)
    assert sick.isnan().nonzero().tolist() == [[1, 0]]
    assert torch.equal(
        sick.nan_to_num(0.0), well.index_put((torch.tensor(1), torch.tensor(0)), torch.zeros(()).double())
    )
