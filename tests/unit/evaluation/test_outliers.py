import pytest
import torch

from bmtune.evaluation import outlier_flags
from bmtune.evaluation import outliers
from bmtune.evaluation.outliers import neighbour_distances


@pytest.fixture(params=["tree", "all distances"], autouse=True)
def _search(request, monkeypatch):
    monkeypatch.setattr(outliers, "TREE_FEATURES", 9 if request.param == "tree" else 0)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_distances_are_means_over_the_nearest_rows():
    found = neighbour_distances(column(0.0, 10.0), column(1.0, 2.0, 9.0), 2)
    assert found.tolist() == [1.5, 4.5]


def test_no_row_is_its_own_neighbour_but_an_equal_row_is():
    rows = column(0.0, 0.0, 3.0)
    assert neighbour_distances(rows, rows, 1, leave_one_out=True).tolist() == [0.0, 0.0, 3.0]


def test_a_sample_as_far_as_the_farthest_real_row_is_none():
    flags = outlier_flags(column(0.0, 1.0, 3.0), column(-2.0, -2.1, 5.0, 5.1, 2.0), 1)
    assert flags.tolist() == [False, True, False, True, False]


def test_real_rows_are_no_outliers_among_themselves():
    rows = torch.rand(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert not outlier_flags(rows, rows, 5).any()


def test_both_searches_find_the_distances_of_every_row():
    generator = torch.Generator().manual_seed(0)
    real, rows = (torch.rand(size, 8, dtype=torch.float64, generator=generator) for size in (300, 70))
    rows[:20] = real[:20]
    # Rows far from 0, whose squares round coarsely.
    for shift in (0.0, 50.0):
        expected = torch.cdist(rows, real, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
        found = neighbour_distances(rows + shift, real + shift, 4)
        torch.testing.assert_close(found, expected[:, :4].mean(1), rtol=1e-12, atol=1e-12)
        alone = neighbour_distances(real + shift, real + shift, 4, leave_one_out=True)
        itself = torch.cdist(real, real, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
        torch.testing.assert_close(alone, itself[:, 1:5].mean(1), rtol=1e-12, atol=1e-12)
    assert torch.equal(neighbour_distances(rows[:20], real, 1), torch.zeros(20, dtype=torch.float64))
