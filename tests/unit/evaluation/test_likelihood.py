import math

import pytest
import torch

from bmtune.born import EMBEDDINGS
from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.born import BornConfig
from bmtune.data import Split
from bmtune.evaluation import genloss_floor
from bmtune.evaluation import likelihood
from bmtune.evaluation import likelihood_metrics
from bmtune.evaluation.likelihood import correct_rows
from bmtune.evaluation.likelihood import likelihood_sums


def machine(num_sites=3, num_classes=3, **fields):
    config = BornConfig(**{"physical_dim": 4, "bond_dim": 3, "init_std": 0.3, "dtype": "float64", **fields})
    return BornMachine.start(config, num_sites, num_classes)


def split_for(born, num_rows=23):
    generator = torch.Generator().manual_seed(1)
    low, high = born.chain.embedding.interval
    x = low + (high - low) * torch.rand(num_rows, born.chain.num_sites, generator=generator, dtype=torch.float64)
    return Split(x, torch.randint(born.chain.num_classes, (num_rows,), generator=generator))


def test_sums_of_weights_written_out_by_hand():
    weights = torch.tensor([[0.0, 1.0, 3.0], [math.log(3.0), 1.0, 0.0]])
    sums = likelihood_sums(weights, torch.tensor([1, 0, 1]))
    assert sums.correct == 2.0
    assert sums.class_nll == pytest.approx(math.log(4 / 3) + math.log(2) + math.log1p(math.exp(3)))
    assert sums.log_weight == pytest.approx(math.log(3) + 1.0)


@pytest.mark.parametrize("column", [[math.nan, 0.0], [-math.inf, -math.inf], [math.inf, 0.0]])
def test_a_row_without_class_probabilities_is_not_counted_as_right_or_wrong(column):
    weights = torch.tensor([[0.0, column[0]], [1.0, column[1]]])
    sums = likelihood_sums(weights, torch.tensor([1, 0]))
    assert math.isnan(sums.correct)
    assert math.isnan(sums.class_nll)


def test_of_several_classes_that_are_most_probable_the_first_is_predicted():
    weights = torch.tensor([[2.0, 2.0, 0.0, 2.0], [2.0, 2.0, 3.0, 1.0], [1.0, 2.0, 3.0, 2.0]])
    for label in range(3):
        expected = (weights.argmax(0) == label).double()
        assert torch.equal(correct_rows(weights, torch.full((4,), label)), expected)


def test_a_zero_amplitude_at_the_label_is_an_infinite_loss_and_a_wrong_prediction():
    sums = likelihood_sums(torch.tensor([[-math.inf], [0.0]]), torch.tensor([0]))
    assert sums == (0.0, math.inf, -math.inf)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
def test_metrics_agree_with_the_machine(embedding, dtype):
    born = machine(embedding=embedding, dtype=dtype)
    split = split_for(born)
    found = likelihood_metrics(born.chain, born.cores, split)
    at_label = torch.arange(len(split.y)), split.y
    assert found["loss"] == pytest.approx(-born.log_class_probabilities(split.x)[at_label].mean().item(), rel=1e-12)
    assert found["genloss"] == pytest.approx(-born.log_joint(split.x)[at_label].mean().item(), rel=1e-12)
    predicted = born.class_probabilities(split.x).argmax(1)
    assert found["acc"] == pytest.approx((predicted == split.y).double().mean().item())


@pytest.mark.parametrize("rows", [1, 4, 22])
def test_chunks_do_not_change_the_result(monkeypatch, rows):
    born = machine()
    split = split_for(born)
    whole = likelihood_metrics(born.chain, born.cores, split)
    monkeypatch.setattr(likelihood, "MAX_ELEMENTS", rows * 3 * 4)
    sizes = [len(y) for _, y in likelihood.embedded_chunks(born.chain, born.cores, split)]
    assert sizes == [rows] * (23 // rows) + [23 % rows] * (23 % rows > 0)
    assert likelihood_metrics(born.chain, born.cores, split) == pytest.approx(whole, rel=1e-12)


def test_the_identity_start_without_noise_knows_no_class():
    born = machine(init_std=0.0)
    assert likelihood_metrics(born.chain, born.cores, split_for(born))["loss"] == pytest.approx(math.log(3), rel=1e-12)


def test_cores_that_are_not_finite_give_metrics_that_are_not_finite():
    born = machine()
    cores = Cores(*(torch.full_like(core, torch.nan) for core in born.cores))
    assert all(math.isnan(value) for value in likelihood_metrics(born.chain, cores, split_for(born)).values())


def test_metrics_build_no_graph_and_leave_the_cores_alone():
    born = machine()
    cores = Cores(*(core.requires_grad_() for core in born.cores))
    before = [core.detach().clone() for core in cores]
    likelihood_metrics(born.chain, cores, split_for(born))
    assert all(torch.equal(core, old) and core.grad is None for core, old in zip(cores, before, strict=True))


@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
def test_genloss_never_falls_below_the_floor_and_one_row_learned_by_heart_reaches_it(embedding):
    for seed in range(5):
        born = BornMachine.start(BornConfig(embedding=embedding, init="normal", init_std=1.0), 2, 2, seed)
        split = split_for(born)
        assert likelihood_metrics(born.chain, born.cores, split)["genloss"] > genloss_floor(born.chain, split)
    born = machine(num_sites=2, num_classes=2, embedding=embedding)
    one = Split(split_for(born).x[:1], torch.tensor([0]))
    # The product of G^-1 phi(x_i) as amplitude, in bond 0 and class 0 only, makes Cauchy and Schwarz an equality.
    edge, odd, bulk, centre = (torch.zeros_like(core) for core in born.cores)
    edge[:, 0] = torch.linalg.solve(born.chain.embedding.gram(4), born.chain.features(one.x)[..., 0].T).T
    centre[0, 0, 0] = 1.0
    found = likelihood_metrics(born.chain, Cores(edge, odd, bulk, centre), one)["genloss"]
    assert found == pytest.approx(genloss_floor(born.chain, one), rel=1e-10)


def test_the_floor_lies_above_the_one_with_the_largest_feature_vector():
    born = machine(embedding="legendre", physical_dim=10)
    # The sum of (2k + 1) / 2 over k < d is d^2 / 2: |phi|^2 at the ends of the interval.
    ends = Split(torch.ones(1, 3, dtype=torch.float64), torch.tensor([0]))
    assert genloss_floor(born.chain, ends) == pytest.approx(-3 * math.log(50), rel=1e-10)
    assert genloss_floor(born.chain, split_for(born)) > -3 * math.log(50)
