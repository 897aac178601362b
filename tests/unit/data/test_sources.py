import numpy as np
import pytest

from bmtune.config.data import DATASETS
from bmtune.config.datasets import IMAGES
from bmtune.config.datasets import SIZES
from bmtune.data import load_table
from bmtune.errors import DataError

ROWS_PER_CLASS = {"": 1000, "_4k": 4000, "_hard": 500, "_small": 200}


@pytest.mark.parametrize("suffix", ROWS_PER_CLASS)
@pytest.mark.parametrize("shape", ["moons", "circles", "spirals"])
def test_toys_have_their_sizes_and_follow_the_seed(shape, suffix):
    table, again, other = (load_table(shape + suffix, seed) for seed in (3, 3, 4))
    assert np.bincount(table.y).tolist() == [ROWS_PER_CLASS[suffix]] * 2
    assert np.array_equal(table.x, again.x)
    assert not np.array_equal(table.x, other.x)


def test_toys_leave_the_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    for dataset in ("moons", "circles", "spirals"):
        load_table(dataset, 0)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("dataset", "radius", "noise"),
    [("circles_4k", 0.3, 0.05), ("circles_hard", 0.5, 0.20), ("circles_small", 0.3, 0.15)],
)
def test_circles_have_their_radii_and_noise(dataset, radius, noise):
    table = load_table(dataset, 0)
    for label, expected in ((0, 1.0), (1, radius)):
        rows = table.x[table.y == label]
        # E|x|^2 = r^2 + 2 noise^2; six standard errors, a false alarm in 1e9 at the fixed seed's choice.
        spread = np.square(rows).sum(1)
        assert abs(spread.mean() - expected**2 - 2 * noise**2) < 6 * spread.std() / np.sqrt(len(rows))


@pytest.mark.parametrize(("dataset", "noise"), [("spirals_4k", 0.5), ("spirals_hard", 1.0), ("spirals_small", 1.0)])
def test_spirals_have_two_opposite_arms_with_their_noise(dataset, noise):
    table = load_table(dataset, 0)
    theta = np.linspace(0, 2 * np.pi, 4000)
    arm = (2 * theta + np.pi)[:, None] * np.stack((np.cos(theta), np.sin(theta)), 1)
    for label, sign in ((0, 1), (1, -1)):
        rows = table.x[table.y == label]
        gaps = np.linalg.norm(rows[:, None, :] - sign * arm[None, ::8, :], axis=2).min(1)
        # The distance to a nearly straight curve is half-normal, with mean square noise^2.
        assert np.sqrt(np.mean(gaps**2)) == pytest.approx(noise, rel=0.15)


@pytest.mark.parametrize(
    ("dataset", "counts", "num_features"),
    [
        ("iris", [50, 50, 50], 4),
        ("wine", [59, 71, 48], 13),
        ("breast_cancer", [212, 357], 30),
        ("digits", [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], 64),
    ],
)
def test_real_sets_have_their_known_sizes(dataset, counts, num_features):
    table = load_table(dataset, 0)
    assert np.bincount(table.y).tolist() == counts
    assert table.x.shape == (sum(counts), num_features)
    assert (len(table.class_names), len(table.feature_names)) == (len(counts), num_features)


def test_every_configurable_data_set_is_named_in_the_error_for_an_unknown_one():
    with pytest.raises(DataError, match="but got 'mooons'") as caught:
        load_table("mooons", 0)
    assert all(dataset in str(caught.value) for dataset in DATASETS)


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in IMAGES])
def test_every_set_that_comes_with_bmtune_loads_and_has_its_size(dataset):
    table = load_table(dataset, 0)
    assert (*table.x.shape, len(table.class_names)) == SIZES[dataset]
