import numpy as np
import pytest
import torch

from bmtune.evaluation import outlier_flags
from bmtune.evaluation import outliers


def brute_force(real, drawn, num_neighbours):
    """Which samples are outliers, row by row."""

    def mean_nearest(row, others):
        return np.mean(sorted(np.sqrt(((row - other) ** 2).sum()) for other in others)[:num_neighbours])

    farthest = max(mean_nearest(row, np.delete(real, i, axis=0)) for i, row in enumerate(real))
    return [bool(mean_nearest(row, real) > farthest) for row in drawn]


@pytest.mark.parametrize("max_elements", [1, 100, 10**6])
@pytest.mark.parametrize("num_neighbours", [1, 3, 20])
@pytest.mark.parametrize(("num_features", "num_rows"), [(3, 25), (3, 200), (9, 25), (9, 200)])
def test_flags_equal_brute_force_in_chunks_of_any_size(
    monkeypatch, num_features, num_rows, num_neighbours, max_elements
):
    # Up to six features a tree is searched, and above all distances are found.
    assert 3 <= outliers.TREE_FEATURES < 9
    monkeypatch.setattr(outliers, "MAX_ELEMENTS", max_elements)
    rng = np.random.default_rng(num_neighbours)
    real, drawn = rng.normal(size=(num_rows, num_features)), 1.7 * rng.normal(size=(40, num_features))
    flags = outlier_flags(torch.from_numpy(real), torch.from_numpy(drawn), num_neighbours)
    expected = brute_force(real, drawn, num_neighbours)
    assert flags.tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("num_features", [2, 9])
def test_a_class_with_fewer_rows_than_neighbours_uses_all_of_them(num_features):
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(3, num_features)), 2 * rng.normal(size=(50, num_features))
    flags = outlier_flags(torch.from_numpy(real), torch.from_numpy(drawn), 5)
    assert flags.tolist() == brute_force(real, drawn, 2)
