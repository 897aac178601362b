import math

import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig
from bmtune.config.root import EvaluationConfig
from bmtune.errors import DataError
from bmtune.evaluation import draw_samples
from bmtune.evaluation import frechet_distance
from bmtune.evaluation import sample_metrics
from bmtune.evaluation import samples

CONFIG = EvaluationConfig(num_samples=50, num_bins=20)


def machine(**fields):
    config = BornConfig(**{"physical_dim": 4, "bond_dim": 3, "init_std": 0.3, "dtype": "float64", **fields})
    return BornMachine.start(config, num_sites=3, num_classes=2)


def uniform(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_samples_follow_the_seed_and_not_the_chunks(monkeypatch):
    born = machine()
    whole = draw_samples(born.chain, born.cores, CONFIG, seed=1)
    assert whole.shape == (50, 2, 3)
    assert whole.abs().max() <= 1
    assert torch.equal(whole, draw_samples(born.chain, born.cores, CONFIG, seed=1))
    assert not torch.equal(whole, draw_samples(born.chain, born.cores, CONFIG, seed=2))
    # A sample holds 2 classes x (2 x 20 bins + 4 x (4 + 2 x 3)) = 160 numbers: 7 samples a chunk.
    monkeypatch.setattr(samples, "MAX_ELEMENTS", 7 * 160)
    assert (draw_samples(born.chain, born.cores, CONFIG, seed=1) - whole).abs().max() < 1e-10


def test_samples_leave_the_global_generator_alone():
    born = machine()
    before = torch.random.get_rng_state()
    draw_samples(born.chain, born.cores, CONFIG, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_fid_is_the_mean_over_classes_in_unit_coordinates():
    y = torch.arange(40) % 2
    x, drawn = uniform(40, 3), uniform(30, 2, 3, seed=1) ** 2
    expected = sum(frechet_distance(x[y == label], drawn[:, label]).item() for label in (0, 1)) / 2
    unit = sample_metrics(x, y, drawn, (0.0, 1.0), 3)
    assert unit["fid"] == pytest.approx(expected, rel=1e-12)
    # The same rows in the coordinates of another embedding measure the same.
    wide = sample_metrics(8 * x - 4, y, 8 * drawn - 4, (-4.0, 4.0), 3)
    assert wide == pytest.approx(unit, rel=1e-9)


def test_the_real_rows_as_samples_are_perfect_and_swapped_classes_are_not():
    x = uniform(20, 2, 3)
    x[:, 1] += 5.0
    rows, y = x.transpose(0, 1).flatten(0, 1), torch.arange(2).repeat_interleave(20)
    perfect = sample_metrics(rows, y, x, (0.0, 1.0), 3)
    assert perfect["fid"] < 1e-12
    assert perfect["outliers"] == 0.0
    swapped = sample_metrics(rows, y, x.flip(1), (0.0, 1.0), 3)
    assert swapped["fid"] > 70
    assert swapped["outliers"] == 1.0


def test_outliers_are_a_share_of_all_samples():
    rows, y = torch.cat([uniform(20, 1), uniform(20, 1)]), torch.arange(2).repeat_interleave(20)
    drawn = torch.full((8, 2, 1), 0.5, dtype=torch.float64)
    drawn[:2, 1] = 9.0
    assert sample_metrics(rows, y, drawn, (0.0, 1.0), 2)["outliers"] == 2 / 16


def test_a_class_with_one_row_is_refused():
    with pytest.raises(DataError, match=r"at least 2 rows of each class .* class number 1 has 1; raise"):
        sample_metrics(uniform(5, 2), torch.tensor([0, 0, 1, 0, 0]), uniform(5, 2, 2), (0.0, 1.0), 3)


def test_samples_that_are_not_finite_are_reported_and_not_skipped():
    drawn = uniform(9, 2, 2)
    drawn[3, 1, 0] = torch.nan
    found = sample_metrics(uniform(10, 2), torch.arange(10) % 2, drawn, (0.0, 1.0), 3)
    assert math.isnan(found["fid"])
    assert math.isnan(found["outliers"])


def test_cores_that_are_not_finite_give_samples_that_are_not_finite():
    born = machine()
    cores = Cores(*(torch.full_like(core, torch.nan) for core in born.cores))
    assert not draw_samples(born.chain, cores, CONFIG, seed=0).isfinite().any()
