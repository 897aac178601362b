import pytest
import torch

from bmtune.born import BornMachine
from bmtune.config.born import BornConfig

torch.set_num_threads(1)


@pytest.fixture
def machine():
    def build(num_sites=3, num_classes=2, seed=0, **fields):
        settings = {"physical_dim": 4, "bond_dim": 3, "init_std": 0.3, "dtype": "float64", **fields}
        return BornMachine.start(BornConfig(**settings), num_sites, num_classes, seed)

    return build


@pytest.fixture
def rows():
    def draw(born, num_rows, seed=0):
        low, high = born.chain.embedding.interval
        generator = torch.Generator().manual_seed(seed)
        return low + (high - low) * torch.rand(num_rows, born.chain.num_sites, generator=generator, dtype=torch.float64)

    return draw
