import json

import pytest
import torch

from bmtune.attacks import make_ball
from bmtune.born import BornMachine
from bmtune.config.born import BornConfig
from bmtune.config.data import DataConfig
from bmtune.config.root import AttackConfig
from bmtune.config.root import EvaluationConfig
from bmtune.data import DataHandler
from bmtune.evaluation import measure
from bmtune.evaluation.after import AfterTraining
from bmtune.evaluation.after import StudyPlan
from bmtune.evaluation.after import ascend
from bmtune.evaluation.after import auroc
from bmtune.evaluation.after import detection
from bmtune.evaluation.after import fit_threshold
from bmtune.evaluation.after import membership
from bmtune.evaluation.after import resample_rows
from bmtune.evaluation.after import study
from bmtune.evaluation.after.membership import _best_threshold
from bmtune.evaluation.after.scores import accuracy
from bmtune.evaluation.after.scores import log_densities


def machine(num_sites=3, num_classes=2, **fields):
    settings = {"physical_dim": 4, "bond_dim": 3, "init_std": 0.3, "dtype": "float64", **fields}
    return BornMachine.start(BornConfig(**settings), num_sites, num_classes)


def rows_of(born, num_rows=40):
    low, high = born.chain.embedding.data_interval
    x = torch.rand(num_rows, born.chain.num_sites, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (low + (high - low) * x).to(born.chain.real_dtype)


def scores(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(num, seed, shift=0.0):
    return shift + torch.randn(num, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# scores


def test_auroc_is_the_share_of_pairs_in_the_right_order_and_ties_are_half():
    higher, lower = normal(30, 0, 0.5).round(decimals=1), normal(40, 1).round(decimals=1)
    pairs = higher[:, None] - lower[None]
    assert bool((pairs == 0).any())
    expected = ((pairs > 0).double() + 0.5 * (pairs == 0)).mean().item()
    assert auroc(higher, lower) == pytest.approx(expected, abs=1e-12)
    assert auroc(higher, higher) == pytest.approx(0.5, abs=1e-12)
    assert auroc(scores(2, 3), scores(0, 1)) == 1
    assert auroc(scores(1.0), scores(-float("inf"))) == 1


def test_auroc_of_scores_that_are_not_numbers_is_not_a_number():
    assert auroc(scores(1.0, float("nan")), scores(0.0)) != auroc(scores(1.0, float("nan")), scores(0.0))


def test_log_densities_are_those_of_the_machine_in_any_chunks(monkeypatch):
    born = machine()
    x = rows_of(born)
    assert torch.allclose(log_densities(born.chain, born.cores, x), born.log_marginal(x))
    monkeypatch.setattr("bmtune.evaluation.after.scores.MAX_ELEMENTS", 7 * 3 * 16)
    assert torch.allclose(log_densities(born.chain, born.cores, x), born.log_marginal(x))


def test_accuracy_counts_rows_and_one_without_probabilities_is_wrong():
    born = machine()
    x = rows_of(born)
    y = born.log_weights(x).argmax(1)
    assert accuracy(born.chain, born.cores, x, y) == 1
    assert accuracy(born.chain, born.cores, x, torch.cat((y[:30], 1 - y[30:]))) == 0.75
    zero = type(born.cores)(*(torch.zeros_like(core) for core in born.cores))
    assert accuracy(born.chain, zero, x, torch.zeros_like(y)) == 0


# detection


@pytest.mark.parametrize("allowed", [0.0, 0.05, 0.33, 1.0])
def test_the_threshold_suspects_at_most_the_allowed_share_of_validation_rows(allowed):
    valid = normal(101, 0)
    threshold = fit_threshold(valid, allowed)
    suspected = (valid < threshold).double().mean().item()
    assert suspected <= allowed
    assert suspected > allowed - 1 / 101 - 1e-12 or allowed == 1.0


def test_detection_is_perfect_on_separated_scores_and_chance_on_equal_ones():
    valid, clean = normal(400, 0), normal(400, 1)
    apart = detection(valid, clean, clean - 100, strength=0.1, allowed=0.05)
    assert (apart.true_positive_rate, apart.auroc, apart.strength) == (1.0, 1.0, 0.1)
    # A share of .05 in 400 rows is within .05 + 6 standard deviations (1e-9 of all draws are not).
    assert apart.false_positive_rate < 0.05 + 6 * (2 * 0.05 * 0.95 / 400) ** 0.5
    same = detection(valid, clean, clean, strength=0.1, allowed=0.05)
    assert same.auroc == pytest.approx(0.5)
    assert same.true_positive_rate == same.false_positive_rate


def test_a_score_that_is_not_a_number_is_suspected():
    found = detection(normal(10, 0), normal(10, 1), scores(float("nan")), strength=0.1, allowed=0.05)
    assert found.true_positive_rate == 1


# membership


def test_shuffled_membership_is_one_half_and_fitting_on_the_same_rows_would_not_be():
    held_out, in_sample = [], []
    for seed, (members, others) in enumerate(normal(400 * 40, 12345).reshape(400, 2, 20)):
        held_out.append(membership(members, others, score="s", seed=seed).accuracy)
        threshold = _best_threshold(members, others)
        in_sample.append(((members >= threshold).double().mean() + (others < threshold).double().mean()).item() / 2)
    values = scores(*held_out)
    # Five standard errors of the mean of 400 independent values: a false alarm in 6e-7 of all seeds.
    assert abs(values.mean().item() - 0.5) < 5 * values.std().item() / 400**0.5
    assert sum(in_sample) / 400 > 0.55


def test_shuffling_a_leaky_models_scores_gives_one_half_and_not_shuffling_more():
    members, others = normal(1000, 0, 1.0), normal(800, 1)
    found = membership(members, others, score="s", seed=0)
    assert found.accuracy > 0.65
    assert found.auroc > 0.7
    shuffled = torch.cat((members, others))[torch.randperm(1800, generator=torch.Generator().manual_seed(3))]
    found = membership(shuffled[:1000], shuffled[1000:], score="s", seed=0)
    # Five standard deviations: sqrt(1/1000 + 1/800) / 2 for the accuracy, over sqrt(3) for the AUROC.
    spread = 5 * (1 / 1000 + 1 / 800) ** 0.5 / 2
    assert abs(found.accuracy - 0.5) < spread
    assert abs(found.auroc - 0.5) < spread


def test_membership_accuracy_weighs_both_groups_alike():
    found = membership(scores(*[1.0] * 6), scores(*[0.0] * 60), score="s", seed=0)
    assert (found.accuracy, found.auroc) == (1.0, 1.0)
    assert membership(scores(*[1.0] * 6), scores(*[1.0] * 60), score="s", seed=0).accuracy == 0.5


# purification

FIELDS = [
    {},
    {"dtype": "float32"},
    {"dtype": "complex64", "embedding": "fourier"},
    {"embedding": "hermite"},
    {"embedding": "chebyshev2"},
]


def inside(ball, x, tolerance):
    offset = x - ball.centre
    length = offset.norm(dim=1) if ball.norm == "l2" else offset.abs().amax(1)
    in_interval = bool(((x >= ball.low) & (x <= ball.high)).all())
    return in_interval and float(length.max()) <= ball.radius + tolerance


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_ascent_stays_in_ball_and_interval_and_lowers_no_density(fields, norm):
    born = machine(4, **fields)
    x = rows_of(born)
    ball = make_ball(norm, x, 0.2, born.chain.embedding.data_interval)
    pure = ascend(born.chain, born.cores, ball, steps=10)
    before, after = (log_densities(born.chain, born.cores, rows) for rows in (x, pure))
    assert inside(ball, pure, 1e-6)
    assert bool((after >= before - 1e-5 * before.abs()).all())
    assert (after - before).mean() > 0.1


def test_ascent_with_radius_0_moves_nothing():
    born = machine()
    x = rows_of(born)
    ball = make_ball("l2", x, 0.0, born.chain.embedding.data_interval)
    assert torch.equal(ascend(born.chain, born.cores, ball, steps=3), x)


def test_ascent_moves_each_row_as_if_alone(monkeypatch):
    born = machine()
    x = rows_of(born, 9)
    ball = make_ball("l2", x, 0.2, born.chain.embedding.data_interval)
    whole = ascend(born.chain, born.cores, ball, steps=5)
    monkeypatch.setattr("bmtune.evaluation.after.scores.MAX_ELEMENTS", 1)
    assert torch.allclose(ascend(born.chain, born.cores, ball, steps=5), whole)


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("norm", ["l2", "linf", None])
def test_resampled_rows_stay_where_they_may_be(fields, norm):
    born = machine(4, **fields)
    x, (low, high) = rows_of(born), born.chain.embedding.interval
    ball = make_ball(norm, x, 0.2, born.chain.embedding.data_interval) if norm else None
    found = resample_rows(born.chain, born.cores, x, num_bins=30, seed=0, ball=ball)
    assert low <= found.min() < found.max() <= high
    assert (found - x).abs().mean() > 0.01
    assert ball is None or inside(ball, found, 1e-6)
    assert torch.equal(found, resample_rows(born.chain, born.cores, x, num_bins=30, seed=0, ball=ball))
    assert not torch.equal(found, resample_rows(born.chain, born.cores, x, num_bins=30, seed=1, ball=ball))


def test_resampled_rows_do_not_depend_on_chunks(monkeypatch):
    born = machine()
    x = rows_of(born, 9)
    ball = make_ball("l2", x, 0.2, born.chain.embedding.data_interval)
    whole = resample_rows(born.chain, born.cores, x, num_bins=30, seed=0, ball=ball)
    monkeypatch.setattr("bmtune.evaluation.after.scores.MAX_ELEMENTS", 4 * 3 * 10)
    assert torch.allclose(resample_rows(born.chain, born.cores, x, num_bins=30, seed=0, ball=ball), whole)


# the study


@pytest.fixture(scope="module")
def iris():
    return DataHandler(DataConfig(dataset="iris"), (-1.0, 1.0)).splits


CONFIG = EvaluationConfig(num_samples=30, num_bins=20, strengths=(0.05, 0.2), attack=AttackConfig(steps=3))


def test_the_study_measures_everything_on_test_rows(iris):
    born = machine(4, 3)
    plan = StudyPlan(seed=0, max_rows=20, allowed=0.1, strong=True)
    found = study(born.chain, born.cores, iris, CONFIG, plan)
    names = ("acc", "loss", "genloss", "fid", "outliers", "rob/0.05", "rob/0.2", "rob_strong/0.05", "rob_strong/0.2")
    assert found.metrics == measure(names, born.chain, born.cores, iris["test"], CONFIG, seed=0)
    assert [entry.strength for entry in found.detection] == [0.05, 0.2]
    assert all(entry.allowed == 0.1 for entry in found.detection)
    assert [(entry.strength, entry.radius, entry.method) for entry in found.purification] == [
        (strength, radius, method)
        for strength, radius in ((0.0, 0.2), (0.05, 0.05), (0.2, 0.2))
        for method in ("ascent", "gibbs", "gibbs_in_ball")
    ]
    assert all(
        entry.log_density_after >= entry.log_density_before for entry in found.purification if entry.method == "ascent"
    )
    assert [entry.score for entry in found.membership] == ["log p(x)", "log p(c|x)"]
    assert found == study(born.chain, born.cores, iris, CONFIG, plan)


def test_results_survive_json_also_where_they_are_not_finite(iris):
    born = machine(4, 3)
    broken = type(born.cores)(*(torch.full_like(core, torch.nan) for core in born.cores))
    found = study(born.chain, broken, iris, CONFIG, StudyPlan(seed=0, max_rows=5))
    text = found.model_dump_json()
    assert json.loads(text)["metrics"]["loss"] == "NaN"
    again = AfterTraining.model_validate_json(text)
    assert again.model_dump_json() == text
    assert again.metrics["loss"] != again.metrics["loss"]
    assert again.purification[0].accuracy_after == 0
