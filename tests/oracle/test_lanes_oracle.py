import pytest
import torch
from torch.nn.functional import pad

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation import measure
from bmtune.evaluation import measure_lanes

NAMES = ("acc", "loss", "genloss", "fid", "outliers", "rob", "rob/0.05", "rob_strong")
SEEDS = (4, 9, 9)


def padded(cores, bond_dim):
    extra = bond_dim - cores.bond_dim
    right = extra if cores.edge.shape[0] == 2 else 0
    return Cores(
        pad(cores.edge, (0, 0, 0, extra)),
        pad(cores.odd, (0, extra, 0, 0, 0, extra)),
        pad(cores.bulk, (0, extra, 0, 0, 0, extra)),
        pad(cores.centre, (0, right, 0, extra)),
    )


def stacked(machines):
    largest = max(born.cores.bond_dim for born in machines)
    return Cores(*(torch.stack(part) for part in zip(*(padded(born.cores, largest) for born in machines), strict=True)))


def machines(num_sites, num_classes, **fields):
    return [
        BornMachine.start(
            BornConfig(**{"physical_dim": 4, "bond_dim": bond_dim, "init_std": 0.5, "dtype": "float64", **fields}),
            num_sites,
            num_classes,
            seed=bond_dim,
        )
        for bond_dim in (2, 5, 3)
    ]


def split_for(chain, rows=60):
    low, high = chain.embedding.data_interval
    generator = torch.Generator().manual_seed(1)
    # In the middle half of the interval, so that some samples are outliers.
    share = 0.25 + 0.5 * torch.rand(rows, chain.num_sites, generator=generator, dtype=torch.float64)
    x = low + (high - low) * share
    return Split(x, torch.arange(rows) % chain.num_classes)


def config(**attack):
    fields = {"num_samples": 60, "num_bins": 20, "num_neighbours": 2, "strengths": (0.02, 0.1)}
    return EvaluationConfig(**fields, attack={"steps": 2, **attack})


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr("bmtune.evaluation.robustness.STRONG_STEPS", 3)


def compare(born, split, measured):
    together = measure_lanes(NAMES, born[0].chain, stacked(born), split, measured, seeds=SEEDS)
    alone = [
        measure(NAMES, one.chain, one.cores, split, measured, seed=seed) for one, seed in zip(born, SEEDS, strict=True)
    ]
    for lane, solo in zip(together, alone, strict=True):
        assert list(lane) == list(NAMES)
        assert lane == pytest.approx(solo, rel=1e-9, abs=0)
    assert len({tuple(solo.values()) for solo in alone}) == len(alone)
    # Shares of none or of all would be equal too easily.
    assert all(any(solo[name] not in (0.0, 1.0) for solo in alone) for name in NAMES)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("num_sites", [1, 2, 3, 5])
def test_a_lane_of_any_bond_dimension_is_measured_as_if_alone(num_sites, dtype):
    born = machines(num_sites, 3, dtype=dtype)
    compare(born, split_for(born[0].chain), config())


@pytest.mark.parametrize(
    ("embedding", "attack"),
    [
        ("fourier", {"norm": "linf", "restarts": 2}),
        ("hermite", {"name": "fgm"}),
        ("chebyshev1", {"random_start": False}),
        ("chebyshev2", {"norm": "linf", "name": "fgm"}),
    ],
)
def test_every_embedding_and_attack_is_the_same_in_a_lane(embedding, attack):
    born = machines(2, 2, embedding=embedding)
    compare(born, split_for(born[0].chain), config(**attack))


def test_samples_of_many_features_are_the_same_in_a_lane():
    # More features than a tree is used for.
    born = machines(8, 2, physical_dim=3)
    compare(born, split_for(born[0].chain), config())
