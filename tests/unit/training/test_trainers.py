import pytest
import torch

from bmtune import training
from bmtune.born import BornMachine
from bmtune.born import Chain
from bmtune.training import rows as training_rows
from bmtune.training.seeds import derive

LOUD = {"optimizer": {"lr": 0.1}, "tolerance": 0.0, "max_epoch": 2}


def metrics_of(reports):
    return [(report.phase, report.epoch, report.metrics) for report in reports]


@pytest.mark.parametrize("loss", ["bce", "wgan-gp"])
@pytest.mark.parametrize("head", ["aware", "agnostic"])
def test_every_phase_changes_every_core_and_the_critic(problem_of, loss, head):
    problem = problem_of(dataset="iris", gan=LOUD, critic={"loss": {"name": loss}, "head": head}, pre={"max_epoch": 1})
    state, changed = training.start(problem), set()
    entered = state.cores
    while not state.status.ended:
        later, report = training.advance(problem, state)
        moved = later.phase != report.phase
        # A phase may end with the cores of an epoch before its last one, never with those that it began with.
        pairs = zip(entered if moved else state.cores, later.cores, strict=True)
        equal = [torch.equal(before, after) for before, after in pairs if before.numel()]
        assert all(equal) if report.phase == "critic" else not any(equal)
        if report.phase == "critic" or (report.phase == "gan" and not moved):
            critics = zip(state.players[1].params, later.players[1].params, strict=True)
            assert all(not torch.equal(before, after) for before, after in critics)
        changed.add(report.phase)
        entered = later.cores if moved else entered
        state = later
    assert changed == {"pre", "critic", "gan", "re"}


def test_the_optimizer_holds_the_tensors_that_the_machine_evaluates(problem_of):
    problem = problem_of("classification")
    state = training.start(problem)
    rows = problem.splits["valid"].x
    before = BornMachine(problem.chain, state.cores).class_probabilities(rows)
    state, report = training.advance(problem, state)
    after = BornMachine(problem.chain, state.cores).class_probabilities(rows)
    assert not torch.equal(before, after)
    accuracy = (after.argmax(1) == problem.splits["valid"].y).double().mean().item()
    assert accuracy == pytest.approx(report.metrics["acc"], abs=1e-12)


@pytest.mark.parametrize("recipe", ["classification", "gan"])
def test_the_seed_decides_the_whole_trial(problem_of, run, recipe):
    torch.manual_seed(1)
    first_state, first = run(problem_of(recipe, gan=LOUD, seed=3))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again_state, again = run(problem_of(recipe, gan=LOUD, seed=3))
    assert torch.equal(before, torch.random.get_rng_state())
    _, other = run(problem_of(recipe, gan=LOUD, seed=4))
    assert metrics_of(first) == metrics_of(again)
    assert all(torch.equal(x, y) for x, y in zip(first_state.cores, again_state.cores, strict=True))
    assert metrics_of(first)[0] != metrics_of(other)[0]


@pytest.mark.parametrize("recipe", ["classification", "gan"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("embedding", ["fourier", "legendre"])
@pytest.mark.parametrize("loss", ["bce", "wgan-gp"])
def test_every_number_type_trains(problem_of, run, recipe, dtype, embedding, loss):
    born = {"dtype": dtype, "embedding": embedding}
    problem = problem_of(recipe, born=born, gan=LOUD, critic={"loss": {"name": loss}})
    state, reports = run(problem)
    assert state.status is training.Status.FINISHED
    assert {tensor.dtype for tensor in state.cores} == {getattr(torch, dtype)}
    losses = [report.metrics["loss"] for report in reports if report.phase == "pre"]
    assert losses[-1] < losses[0]
    if recipe == "gan":
        assert {tensor.dtype for tensor in state.players[1].params} == {problem.chain.real_dtype}
        assert "re" in {report.phase for report in reports}


@pytest.mark.parametrize("recipe", ["classification", "gan"])
def test_number_types_of_one_width_start_alike_and_stay_close(problem_of, run, recipe):
    _, single = run(problem_of(recipe, born={"dtype": "float32", "init_std": 0.0}))
    _, double = run(problem_of(recipe, born={"dtype": "float64", "init_std": 0.0}))
    for one, other in zip(single, double, strict=True):
        assert one.phase == other.phase
        # Single and double numbers are drawn apart, so two critics have nothing in common.
        if one.phase != "critic":
            assert one.metrics["loss"] == pytest.approx(other.metrics["loss"], rel=1e-2)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("criterion", ["negative log-likelihood", "brier"])
def test_every_optimizer_and_criterion_lowers_its_own_loss(problem_of, run, name, criterion):
    lr = 0.5 if name == "sgd" else 2e-2
    pre = {"optimizer": {"name": name, "lr": lr}, "criterion": {"name": criterion}, "max_epoch": 5}
    _, reports = run(problem_of("classification", pre=pre))
    losses = [report.metrics["train/loss"] for report in reports]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["iris", "moons_small"])
def test_classification_learns(problem_of, run, dataset):
    pre = {"max_epoch": 40, "batch_size": 16, "optimizer": {"lr": 1e-2}, "patience": 40}
    problem = problem_of("classification", dataset=dataset, pre=pre)
    state, _ = run(problem)
    assert training.outcome(problem, state).test["acc"] > 0.9


@pytest.mark.slow
def test_gan_training_brings_samples_closer_to_the_rows(problem_of, run):
    critic = {"min_width": 64, "steps": 5, "pretrain_epochs": 5, "optimizer": {"lr": 2e-3, "betas": [0.5, 0.99]}}
    gan = {"max_epoch": 60, "patience": 60, "optimizer": {"lr": 2e-3}, "tolerance": 0.05}
    problem = problem_of(pre={"max_epoch": 10}, gan=gan, critic=critic)
    state, reports = run(problem)
    start = next(report.metrics["start/fid"] for report in reports if "start/fid" in report.metrics)
    assert training.outcome(problem, state).valid["fid"] < start / 2


def test_real_rows_in_any_ratio_to_generated_ones(problem_of, run):
    for ratio in (0.5, 3.0, 100.0):
        state, _ = run(problem_of(gan={"r_real": ratio, "max_epoch": 1}, critic={"loss": {"name": "wgan-gp"}}))
        assert state.status is training.Status.FINISHED


def test_the_training_loss_is_the_mean_over_rows_not_over_batches(problem_of):
    # With a rate of nearly 0 the loss of a pass is the loss of the start, whatever the last batch's size.
    frozen = {"optimizer": {"name": "sgd", "lr": 1e-30}}
    born = {"init_std": 0.3, "dtype": "float64"}
    even, uneven = (problem_of("classification", born=born, pre={**frozen, "batch_size": size}) for size in (200, 190))
    losses = [training.advance(problem, training.start(problem))[1].metrics["train/loss"] for problem in (even, uneven)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_seeds_differ_between_uses_and_trials():
    uses = [
        ("cores",),
        ("pre", 1),
        ("pre", 2),
        ("re", 1),
        ("gan", 1),
        ("critic", 1),
        ("evaluate",),
        ("test",),
        ("pre", 12),
        ("pre1", 2),
    ]
    seeds = {derive(seed, *use) for seed in (0, 1, 10) for use in uses}
    assert len(seeds) == 3 * len(uses)
    assert derive(0, "pre", 1) == derive(0, "pre", 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(("kept", "rows"), [(12 * 199, [50] * 4 * 3), (12 * 200, [200])], ids=["batches", "all"])
def test_rows_that_are_embedded_once_and_kept_change_no_number(problem_of, run, monkeypatch, kept, rows):
    problem = problem_of("classification", born={"dtype": "float64"})
    num_train, num_numbers = len(problem.splits["train"].y), problem.chain.num_sites * problem.chain.physical_dim
    assert (num_train, num_numbers) == (200, 12)
    _, together = run(problem)
    training_rows.embedded_table.cache_clear()
    monkeypatch.setattr(training_rows, "MAX_KEPT", kept)
    embedded, honest = [], Chain.features
    monkeypatch.setattr(Chain, "features", lambda chain, x: embedded.append(len(x)) or honest(chain, x))
    _, apart = run(problem)
    # All rows at once are embedded once and kept, fewer of them anew in every epoch.
    assert [count for count in embedded if count != len(problem.splits["valid"].y)] == rows
    for one, other in zip(together, apart, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-12)
