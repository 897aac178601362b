import pytest

from bmtune import training
from bmtune.evaluation import measure
from bmtune.training import trial
from bmtune.training.seeds import derive

MEASURED = {"acc": 1, "loss": 1, "genloss": 1, "fid": 1}


def on_valid(problem, cores, names):
    seed = derive(problem.config.seed, "evaluate")
    return measure(names, problem.chain, cores, problem.splits["valid"], problem.config.evaluation, seed=seed)


@pytest.mark.parametrize("recipe", ["classification", "gan"])
@pytest.mark.parametrize("stop_crit", ["acc", "loss", "fid"])
def test_the_best_cores_reproduce_the_best_validation_metrics(problem_of, run, recipe, stop_crit):
    fields = {"max_epoch": 6, "optimizer": {"lr": 0.1}, "stop_crit": stop_crit, "metrics": MEASURED, "patience": 9}
    pre = fields if recipe == "classification" else {}
    problem = problem_of(recipe, pre=pre, gan={**fields, "tolerance": 0.5})
    state, reports = run(problem)
    main = [report for report in reports if report.eligible]
    pick = max if stop_crit == "acc" else min
    expected = pick(report.metrics[stop_crit] for report in main)
    found = training.outcome(problem, state)
    assert found.valid[stop_crit] == expected
    assert found.epoch == next(report.budget for report in main if report.metrics[stop_crit] == expected)
    again = on_valid(problem, found.cores, tuple(MEASURED))
    assert again == {name: found.valid[name] for name in MEASURED}


def test_the_best_of_a_retrained_epoch_is_measured_on_the_retrained_cores(problem_of, run):
    fields = {"retrain_crit": "loss", "tolerance": 0.0, "max_epoch": 1, "optimizer": {"lr": 3e-2}}
    problem = problem_of(gan=fields, retrain={"max_epoch": 30, "patience": 30})
    state, reports = run(problem)
    assert reports[-1].phase == "re"
    found = training.outcome(problem, state)
    assert found.epoch == 1
    assert on_valid(problem, found.cores, ("acc", "loss", "fid")) == {
        name: reports[-1].metrics[name] for name in ("acc", "loss", "fid")
    }


def test_the_test_rows_are_measured_once_at_the_end_on_the_best_cores(problem_of, run):
    problem = problem_of("classification")
    state, _ = run(problem)
    found = training.outcome(problem, state)
    seed = derive(problem.config.seed, "test")
    expected = measure(
        ("acc", "loss"), problem.chain, found.cores, problem.splits["test"], problem.config.evaluation, seed=seed
    )
    assert found.test == expected == training.test_metrics(problem, found.cores)


def test_no_outcome_before_the_first_main_epoch(problem_of):
    problem = problem_of()
    state = training.start(problem)
    assert training.outcome(problem, state) is None
    state, _ = training.advance(problem, state)
    assert training.outcome(problem, state) is None


class Clock:
    """Counts a second a reading: the clock is read at the beginning and at the end of an epoch."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_average_epoch_times_under_their_names(problem_of, run, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(trial, "perf_counter", clock)
    problem = problem_of(
        gan={"optimizer": {"lr": 0.1}, "tolerance": 0.0},
        retrain={"max_epoch": 2, "patience": 9},
        critic={"pretrain_epochs": 2},
    )
    state, reports = run(problem)
    assert clock.now == 2 * len(reports)
    assert {report.seconds for report in reports} == {1.0}
    num_re = sum(report.phase == "re" for report in reports)
    assert num_re > 0
    # The critic's own epochs count as neither the classifier's nor the game's.
    assert state.seconds == {"pre": 3.0, "critic": 2.0, "gan": 3.0, "re": num_re}
    assert training.timings(problem.config, state) == {
        "pre/avg_epoch_time_s": 1.0,
        "critic/avg_epoch_time_s": 1.0,
        "gan/avg_epoch_time_total_s": (3 + num_re) / 3,
        "gan/avg_epoch_time_no_retrain_s": 1.0,
    }


def test_a_classification_trial_has_no_gan_times(problem_of, run):
    problem = problem_of("classification")
    state, reports = run(problem)
    found = training.timings(problem.config, state)
    assert found.keys() == {"pre/avg_epoch_time_s"}
    assert found["pre/avg_epoch_time_s"] == pytest.approx(sum(report.seconds for report in reports) / 3)
    assert training.timings(problem.config, training.start(problem)) == {}
