"""What is rehearsed of an epoch takes the memory of the real thing."""

import pytest
import torch

from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.evaluation import measure_lanes
from bmtune.packing import Lane
from bmtune.packing.memory import Peak
from bmtune.packing.rehearsal import quick_names
from bmtune.packing.rehearsal import rest_of_epoch
from bmtune.packing.rehearsal import steps
from bmtune.training import make_problem
from bmtune.training import start

CPU = torch.device("cpu")


def lanes_of(number, metrics):
    found, data = [], None
    for seed in range(number):
        raw = {
            "seed": seed,
            "data": {"dataset": "moons_small"},
            "born": {"bond_dim": 6, "physical_dim": 4},
            "trainer": {"classification": {"batch_size": 2, "metrics": {"acc": 1} | metrics, "stop_crit": "acc"}},
            "evaluation": {"num_samples": 400, "num_bins": 50, "attack": {"steps": 7}},
        }
        config = TrialConfig.model_validate(raw)
        data = data or DataHandler(config.data, get_embedding(config.born.embedding).data_interval)
        problem = make_problem(config, data)
        found.append(Lane(problem, start(problem)))
    return found


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    "metrics",
    [
        {"loss": 1, "genloss": 9},
        {"fid": 5},
        {"outliers": 2},
        {"rob": 10},
        {"rob/0.3": 1, "rob_strong": 50},
    ],
)
def test_metrics_that_are_due_at_any_epoch_are_measured_with_their_memory(monkeypatch, metrics, number):
    monkeypatch.setattr("bmtune.evaluation.robustness.STRONG_STEPS", 2)
    lanes = lanes_of(number, metrics)
    players = next(steps(lanes))
    problem, cores = lanes[0].problem, Cores(*players[0].params)
    if number == 1:
        cores = Cores(*(tensor.unsqueeze(0) for tensor in cores))
    rest_of_epoch(lanes, players)
    with Peak(CPU) as rehearsed:
        rest_of_epoch(lanes, players)
    with Peak(CPU) as real:
        config, valid = problem.config.evaluation, problem.splits["valid"]
        measure_lanes(["acc", *metrics], problem.chain, cores, valid, config, seeds=range(number))
    # Metrics of attacks are told apart by what they keep of each start, which is small where trials are large.
    least = 0.5 if "rob_strong" in metrics else 0.95
    assert least * real.bytes <= rehearsed.bytes <= 1.6 * real.bytes


def test_one_attack_stands_for_all():
    assert quick_names(["acc", "rob", "rob/0.3", "rob_strong", "fid"]) == ("acc", "fid", "rob/0.1")
    assert quick_names(["acc"]) == ("acc",)
    assert quick_names([]) == ()
