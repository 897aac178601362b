import math
import sys

import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig
from bmtune.config.data import DataConfig
from bmtune.config.metrics import METRICS
from bmtune.config.root import EvaluationConfig
from bmtune.data import DataHandler
from bmtune.evaluation import genloss_floor
from bmtune.evaluation import measure

CONFIG = EvaluationConfig(num_samples=40, num_bins=20, strengths=(0.1,), attack={"steps": 3})


@pytest.fixture(scope="module")
def iris():
    return DataHandler(DataConfig(dataset="iris"), (-1.0, 1.0))


def machine(dtype="float64", **fields):
    return BornMachine.start(BornConfig(physical_dim=3, bond_dim=2, dtype=dtype, **fields), 4, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_every_known_metric_is_measured_in_the_order_asked_for(iris, dtype):
    born = machine(dtype)
    split = iris.splits["valid"]
    found = measure(reversed(METRICS), born.chain, born.cores, split, CONFIG, seed=0)
    assert list(found) == list(reversed(METRICS))
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert 0 <= found["acc"] <= 1
    assert 0 <= found["outliers"] <= 1
    assert found["fid"] >= 0
    assert found["genloss"] >= genloss_floor(born.chain, split)


def test_a_metric_is_the_same_alone_and_among_others(iris):
    born = machine()
    arguments = (born.chain, born.cores, iris.splits["valid"], CONFIG)
    together = measure(METRICS, *arguments, seed=3)
    assert together["rob_strong"] <= together["rob"] <= together["acc"]
    for name in METRICS:
        assert measure([name], *arguments, seed=3) == {name: together[name]}
    assert measure(["fid"], *arguments, seed=4)["fid"] != together["fid"]


@pytest.mark.parametrize(
    ("names", "calls"),
    [
        (["acc", "loss", "genloss"], ["forward"]),
        (["fid", "outliers"], ["draw"]),
        (["rob", "rob/0.1", "rob_strong"], ["attack"]),
        (["rob", "loss"], ["forward", "attack"]),
        (["fid", "acc", "loss", "outliers"], ["forward", "draw"]),
        ([], []),
    ],
)
def test_rows_pass_once_and_samples_are_drawn_once(iris, monkeypatch, names, calls):
    module = sys.modules[measure.__module__]
    seen = []
    shared = {"forward": "likelihood_metrics", "draw": "draw_samples", "attack": "robustness_metrics"}
    for label, function in shared.items():
        original = getattr(module, function)

        def counted(*args, label=label, original=original, **named):
            seen.append(label)
            return original(*args, **named)

        monkeypatch.setattr(module, function, counted)
    born = machine()
    assert list(measure(names, born.chain, born.cores, iris.splits["test"], CONFIG, seed=0)) == names
    assert seen == calls


def test_an_unknown_metric_is_refused_by_name(iris):
    born = machine()
    with pytest.raises(ValueError, match="outliers, rob, rob_strong or rob/<eps>, but got 'auc'"):
        measure(["acc", "auc"], born.chain, born.cores, iris.splits["valid"], CONFIG, seed=0)


def test_metrics_of_cores_that_are_not_finite_are_not_finite(iris):
    born = machine()
    cores = Cores(*(torch.full_like(core, torch.nan) for core in born.cores))
    found = measure(METRICS, born.chain, cores, iris.splits["valid"], CONFIG, seed=0)
    assert not any(math.isfinite(value) for value in found.values())
