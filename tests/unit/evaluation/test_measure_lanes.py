import math
import sys

import pytest
import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig
from bmtune.config.metrics import METRICS
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.errors import DataError
from bmtune.evaluation import measure
from bmtune.evaluation import measure_lanes
from bmtune.evaluation import real_rows

MODULE = sys.modules[measure_lanes.__module__]
CONFIG = EvaluationConfig(num_samples=40, num_bins=20, strengths=(0.1,), attack={"steps": 3, "restarts": 2})
NAMES = tuple(METRICS)


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr("bmtune.evaluation.robustness.STRONG_STEPS", 4)


def lanes(count=3, num_sites=3, dtype="float64"):
    born = [
        BornMachine.start(BornConfig(physical_dim=3, bond_dim=3, init_std=0.5, dtype=dtype), num_sites, 2, seed)
        for seed in range(count)
    ]
    return born[0].chain, Cores(*(torch.stack(part) for part in zip(*(one.cores for one in born), strict=True)))


def rows(num_sites=3, count=30):
    x = 2 * torch.rand(count, num_sites, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    return Split(x, torch.arange(count) % 2)


def found(chain, cores, split=None, seeds=(5, 6, 7), **named):
    return measure_lanes(NAMES, chain, cores, split or rows(), CONFIG, seeds=seeds, **named)


def lane_of(cores, lane):
    return Cores(*(core[lane] for core in cores))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["edge", "centre"])
def test_a_lane_that_is_not_finite_has_its_own_metrics_and_changes_no_bit_of_another(part, value):
    chain, cores = lanes()
    well = found(chain, cores)
    getattr(cores, part)[1] = value
    sick = found(chain, cores)
    assert sick[0] == well[0]
    assert sick[2] == well[2]
    alone = measure(NAMES, chain, lane_of(cores, 1), rows(), CONFIG, seed=6)
    assert sick[1] == pytest.approx(alone, nan_ok=True)
    assert not any(math.isfinite(sick[1][name]) for name in ("loss", "fid", "outliers", "rob"))


def test_one_number_that_is_not_finite_spoils_one_lane_only():
    chain, cores = lanes()
    well = found(chain, cores)
    cores.odd[2, 0, 1, 1, 1] = math.nan
    sick = found(chain, cores)
    assert sick[:2] == well[:2]
    alone = measure(NAMES, chain, lane_of(cores, 2), rows(), CONFIG, seed=7)
    assert sick[2] == pytest.approx(alone, nan_ok=True)


def test_equal_lanes_of_equal_seeds_have_equal_metrics():
    chain, cores = lanes()
    same = Cores(*(core[:1].expand(3, *core.shape[1:]) for core in cores))
    first, second, third = found(chain, same, seeds=(5, 5, 6))
    assert first == second
    assert third["fid"] != first["fid"]
    assert third["loss"] == first["loss"]


def test_the_order_of_lanes_is_the_order_of_metrics():
    chain, cores = lanes()
    turned = Cores(*(core.flip(0) for core in cores))
    assert found(chain, turned, seeds=(7, 6, 5)) == found(chain, cores)[::-1]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("bmtune.evaluation.lanes.MAX_ELEMENTS", 1),
        # Two lanes of the noise of two starts, or of samples, at a time.
        ("bmtune.evaluation.lanes.MAX_ELEMENTS", 2 * 40 * 2 * 3),
        ("bmtune.evaluation.likelihood.MAX_ELEMENTS", 7 * 3 * (3 + 2 * 3 * 3)),
        ("bmtune.evaluation.samples.MAX_ELEMENTS", 7 * 3 * 2 * (2 * 20 + 3 * (3 + 2 * 3))),
        ("bmtune.evaluation.robustness.MAX_ELEMENTS", 7 * 3 * 3 * 3 * 4),
    ],
)
def test_chunks_of_rows_and_lanes_do_not_change_the_metrics(monkeypatch, name, limit):
    chain, cores = lanes()
    whole = found(chain, cores)
    monkeypatch.setattr(name, limit)
    for chunked, lane in zip(found(chain, cores), whole, strict=True):
        assert chunked == pytest.approx(lane, rel=1e-12)


def test_lanes_are_measured_in_groups_that_bound_memory(monkeypatch):
    chain, cores = lanes(count=5)
    original, seen = MODULE.draw_samples, []

    def counted(*arguments):
        seen.append(list(arguments[-1]))
        return original(*arguments)

    monkeypatch.setattr(MODULE, "draw_samples", counted)
    monkeypatch.setattr(MODULE, "MAX_ELEMENTS", 2 * 40 * 2 * 3)
    measure_lanes(["fid"], chain, cores, rows(), CONFIG, seeds=range(5))
    assert seen == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_lanes_of_single_precision_are_measured(dtype):
    chain, cores = lanes(dtype=dtype)
    for lane, metrics in enumerate(found(chain, cores)):
        alone = measure(NAMES, chain, lane_of(cores, lane), rows(), CONFIG, seed=5 + lane)
        assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
        assert metrics["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert metrics["fid"] == pytest.approx(alone["fid"], rel=1e-3)


def test_only_what_is_asked_for_is_found_in_the_order_asked_for(monkeypatch):
    chain, cores = lanes()
    whole = found(chain, cores)
    for names in (["outliers"], ["rob", "acc"], ["fid", "loss"], []):
        alone = measure_lanes(names, chain, cores, rows(), CONFIG, seeds=(5, 6, 7))
        assert [list(metrics) for metrics in alone] == [names] * 3
        assert alone == [{name: metrics[name] for name in names} for metrics in whole]
    monkeypatch.setattr(MODULE, "draw_samples", None)
    monkeypatch.setattr(MODULE, "robustness_values", None)
    measure_lanes(["acc"], chain, cores, rows(), CONFIG, seeds=(5, 6, 7))


def test_a_pack_of_one_lane_is_measured_alone(monkeypatch):
    chain, cores = lanes(count=1)
    seen = []
    monkeypatch.setattr(MODULE, "measure", lambda *arguments, **named: seen.append(named) or {})
    assert found(chain, cores, seeds=(5,)) == [{}]
    assert seen == [{"seed": 5, "real": None}]


def test_real_rows_that_were_kept_change_nothing():
    chain, cores = lanes()
    kept = real_rows(chain, rows(), cores.edge.device)
    fresh = found(chain, cores)
    assert found(chain, cores, real=kept) == found(chain, cores, real=kept) == fresh
    alone = measure(NAMES, chain, lane_of(cores, 0), rows(), CONFIG, seed=5)
    assert measure(NAMES, chain, lane_of(cores, 0), rows(), CONFIG, seed=5, real=kept) == alone


def test_cores_keep_their_gradients_and_the_global_generator_its_state():
    chain, cores = lanes()
    cores = Cores(*(core.requires_grad_() for core in cores))
    before, state = [core.detach().clone() for core in cores], torch.random.get_rng_state()
    found(chain, cores)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(core, old) and core.grad is None for core, old in zip(cores, before, strict=True))


def test_a_lane_without_a_seed_is_refused():
    chain, cores = lanes()
    with pytest.raises(ValueError, match="one seed for each lane, but got 2 seeds for 3 lanes"):
        found(chain, cores, seeds=(1, 2))


def test_unknown_metrics_and_classes_of_one_row_are_refused_as_they_are_alone():
    chain, cores = lanes()
    with pytest.raises(ValueError, match="but got 'auc'"):
        measure_lanes(["auc"], chain, cores, rows(), CONFIG, seeds=(1, 2, 3))
    few = Split(rows().x[:3], torch.tensor([0, 1, 0]))
    with pytest.raises(DataError, match="class number 1 has 1"):
        measure_lanes(["fid"], chain, cores, few, CONFIG, seeds=(1, 2, 3))
