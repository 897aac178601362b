import subprocess
import sys
from io import BytesIO

import pytest
import torch
from PIL import Image

from bmtune.born import BornMachine
from bmtune.config.born import BornConfig
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.pictures import GRID
from bmtune.evaluation.pictures import _class_map
from bmtune.evaluation.pictures import _some_rows
from bmtune.evaluation.pictures import _strip
from bmtune.evaluation.pictures import picture

CONFIG = EvaluationConfig(num_samples=20, num_bins=20)


def machine(num_sites, num_classes=2, **fields):
    settings = {"physical_dim": 4, "bond_dim": 2, "init_std": 0.3, **fields}
    return BornMachine.start(BornConfig(**settings), num_sites, num_classes)


def rows(born, num_rows=30):
    low, high = born.chain.embedding.data_interval
    x = torch.rand(num_rows, born.chain.num_sites, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Split(x=low + (high - low) * x, y=torch.arange(num_rows) % born.chain.num_classes)


def png(born, split, seed=0):
    return picture(born.chain, born.cores, split, CONFIG, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_sites", "num_classes", "fields"),
    [
        (2, 2, {}),
        (2, 3, {"dtype": "complex64", "embedding": "fourier"}),
        (49, 12, {}),
        (4, 3, {}),
        (1, 2, {}),
        (50, 2, {}),
    ],
)
def test_every_kind_of_data_gives_a_png_that_the_seed_determines(num_sites, num_classes, fields):
    born = machine(num_sites, num_classes, **fields)
    split = rows(born)
    made = png(born, split)
    with Image.open(BytesIO(made)) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200
        assert len(image.convert("RGB").getcolors(maxcolors=2**24)) > 20
    assert made == png(born, split)
    assert made != png(born, split, seed=1)


@pytest.mark.slow
def test_a_split_without_rows_of_a_class_can_be_drawn():
    for num_sites in (2, 4, 49):
        born = machine(num_sites)
        split = rows(born)
        only = Split(x=split.x[split.y == 0], y=split.y[split.y == 0])
        assert png(born, only).startswith(b"\x89PNG")


def test_the_map_of_classes_has_the_second_feature_upwards():
    born = machine(2, dtype="float64")
    shares = _class_map(born.chain, born.cores)
    low, high = born.chain.embedding.data_interval
    ticks = torch.linspace(low, high, GRID, dtype=torch.float64)
    for first, second in ((0, 0), (GRID - 1, 10), (30, 100)):
        expected = born.class_probabilities(torch.stack((ticks[first], ticks[second]))[None])[0]
        assert torch.allclose(shares[second, first], expected)


def test_points_without_class_probabilities_are_undecided():
    born = machine(2)
    born.cores = type(born.cores)(*(torch.zeros_like(core) for core in born.cores))
    assert bool((_class_map(born.chain, born.cores) == 0.5).all())


def test_rows_are_chosen_at_random_by_class():
    born = machine(3)
    split = rows(born, 100)
    found = _some_rows(split, 2, 10, seed=0)
    assert [len(part) for part in found] == [10, 10]
    for label, part in enumerate(found):
        real = split.x[split.y == label]
        assert bool((part[:, None] == real[None]).all(-1).any(1).all())
        assert not torch.equal(part, real[:10])


def test_images_stand_side_by_side_the_right_way_up():
    images = torch.arange(2 * 49, dtype=torch.float64).reshape(2, 49)
    strip = _strip(images, 7, (0.0, 1000.0))
    assert strip.shape == (8, 6 * 8)
    assert torch.equal(strip[:7, :7], images[0].reshape(7, 7))
    assert torch.equal(strip[:7, 8:15], images[1].reshape(7, 7))
    assert bool((strip[:, 16:] == 1000).all())


@pytest.mark.slow
def test_drawing_leaves_no_global_state_of_matplotlib_and_importing_loads_none_of_it():
    code = """
import sys, bmtune.evaluation.pictures as pictures, bmtune.evaluation
assert not any(name.startswith("matplotlib") for name in sys.modules)
pictures._png(pictures._figure(1.0, 1.0))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
