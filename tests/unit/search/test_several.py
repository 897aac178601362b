"""Searches with several objectives, or with constraints, on records alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from bmtune.checkpoints import write_checkpoint
from bmtune.cli.app import main
from bmtune.config.best import read_best
from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.config.yaml_text import dump
from bmtune.disk_space import Patience
from bmtune.errors import ConfigError
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import read_records
from bmtune.reports.comparison import compare
from bmtune.reports.history import read_run
from bmtune.reports.pareto_text import pareto_lines
from bmtune.reports.summary import summarize
from bmtune.reports.tables import trials_table
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_remaining
from bmtune.search.conduct import promote_trial
from bmtune.search.conduct import take_report
from bmtune.search.goal import check_confirmable
from bmtune.search.ledger import Ledger
from bmtune.search.next_trial import next_params
from bmtune.search.several_study import HELD
from bmtune.search.several_study import several_study
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport
from bmtune.search.view import StudyView
from bmtune.search.view import rebuild
from bmtune.search.warm_start import learned
from bmtune.search.winner import keep_winner

DONE = TrialEnd(status="completed", reason="all epochs were trained")
PATIENCE = Patience(print)
TWO = ("{metric: loss}", "{metric: [acc, rob]}")
WITHIN = ("{metric: loss}", "{metric: acc, constraints: ['fid <= 0.1']}")
PROMOTE = ("budget:", "run: {halving: promote}\nbudget:")
LR = "trainer.classification.optimizer.lr"
MakeSpace = Callable[..., SearchSpace]
OpenLedger = Callable[..., Ledger]


def header(space: SearchSpace) -> RunStarted:
    first, *others = space.aims.objectives
    return RunStarted(
        run="night",
        trainer=space.trainer,
        dataset="moons_small",
        data_hash="0",
        objective=first,
        others=tuple(others),
        bounds=space.aims.bounds,
        trials=space.budget.trials,
        max_epochs=space.budget.max_epochs,
        seed=0,
        bmtune="0",
        time=1.0,
    )


@pytest.fixture
def start(make_space: MakeSpace, open_ledger: OpenLedger) -> Callable[..., Ledger]:
    """A search over rungs 1 and 3 and the end at 9, of which one in 3 goes on."""

    def make(*replaced: tuple[str, str], trials: int = 20) -> Ledger:
        space = make_space(("trials: 8", f"trials: {trials}"), *replaced)
        ledger = open_ledger(SearchState(space))
        ledger.record(header(space))
        return ledger

    return make


def train(ledger: Ledger, trial: int, to: int = 1, **metrics: float) -> str:
    """Trains a trial up to an epoch and reports; every epoch has the same metrics."""
    done = ledger.state.running[trial].budget
    epochs = tuple(
        Epoch(
            trial=trial,
            phase="pre",
            epoch=number,
            budget=number,
            metrics=metrics,
            seconds=0.1,
            eligible=True,
            best_epoch=number,
            best_metrics=metrics,
        )
        for number in range(done + 1, to + 1)
    )
    return take_report(ledger, trial, TrialReport(epochs=epochs, end=DONE if to == 9 else None))


def begin(ledger: Ledger, *measured: dict[str, float]) -> list[str]:
    """Starts a trial for each and trains it up to the first rung."""
    said = []
    for metrics in measured:
        started = begin_trial(ledger)
        assert started is not None
        said.append(train(ledger, started.trial, **metrics))
    return said


def both(acc: float, rob: float) -> dict[str, float]:
    return {"acc": acc, "rob": rob}


def within(acc: float, fid: float) -> dict[str, float]:
    return {"acc": acc, "fid": fid}


def test_a_rung_promotes_from_the_first_front_what_is_far_apart(start: Callable[..., Ledger], tmp_path: Path) -> None:
    ledger = start(TWO, PROMOTE)
    begin(ledger, both(0.9, 0.1), both(0.85, 0.15), both(0.8, 0.2), both(0.1, 0.9), both(0.05, 0.05))
    begin(ledger, both(0.02, 0.3))
    # Two of six: the best accuracy, and what is farthest from it, though others are better in accuracy.
    assert [promote_trial(ledger) for _ in range(3)] == [0, 3, None]
    rungs = [record for record in read_records(tmp_path / "records.jsonl").records if isinstance(record, Rung)]
    assert [rung.values for rung in rungs[:2]] == [both(0.9, 0.1), both(0.85, 0.15)]
    assert [rung.value for rung in rungs[:2]] == [0.9, 0.85]


def test_a_rung_that_stops_trials_keeps_a_front_together(start: Callable[..., Ledger]) -> None:
    ledger = start(TWO, ("budget:", "run: {halving: stop}\nbudget:"))
    said = begin(ledger, both(0.9, 0.1), both(0.1, 0.9), both(0.9, 0.1), both(0.05, 0.05), both(0.9, 0.1))
    # Two before eta are let go on; equals of the best one are as good as it; the fourth is beaten.
    assert said == ["continue", "continue", "continue", "stop", "continue"]


def test_feasible_trials_are_promoted_first_and_then_those_that_are_nearest(start: Callable[..., Ledger]) -> None:
    ledger = start(WITHIN, PROMOTE)
    said = begin(ledger, within(0.9, 0.9), within(0.8, 0.5), within(0.2, 0.1), within(0.3, 0.05), within(0.99, 5.0))
    assert said == ["pause", "pause", "continue", "continue", "pause"]
    assert promote_trial(ledger) is None
    begin(ledger, within(0.1, 9.0))
    begin(ledger, within(0.1, 9.0), within(0.1, 9.0), within(0.1, 9.0))
    assert promote_trial(ledger) == 1


def test_the_winner_satisfies_the_constraints_or_there_is_none(start: Callable[..., Ledger]) -> None:
    ledger = start(WITHIN, ("budget:", "run: {scheduler: none}\nbudget:"))
    for number, (acc, fid) in enumerate([(0.9, 0.2), (0.95, 0.3)]):
        begin_trial(ledger)
        train(ledger, number, 9, **within(acc, fid))
    assert (ledger.state.best, ledger.state.pareto()) == (None, [])
    nearest = ledger.state.nearest()
    assert nearest is not None
    assert nearest.run.number == 0
    begin_trial(ledger)
    train(ledger, 2, 9, **within(0.5, 0.1))
    assert [trial.run.number for trial in ledger.state.ranked()] == [2]


@pytest.mark.parametrize("goal", [TWO, WITHIN], ids=["objectives", "constraint"])
def test_a_replay_knows_the_same_and_proposes_the_same(
    start: Callable[..., Ledger], goal: tuple[str, str], tmp_path: Path
) -> None:
    ledger = start(goal, PROMOTE, ("trials: 20", "trials: 9"), trials=20)
    for place in range(6):
        begin(ledger, {"acc": place * 7 % 6 / 6, "rob": place * 5 % 6 / 6, "fid": place / 20})
    promoted = promote_trial(ledger)
    assert promoted is not None
    train(ledger, promoted, 3, acc=0.8, rob=0.5, fid=0.05)
    again = SearchState.replay(ledger.state.space, read_records(tmp_path / "records.jsonl").records)
    assert (again.arrivals, again.paused, again.promotion) == (
        ledger.state.arrivals,
        ledger.state.paused,
        ledger.state.promotion,
    )
    assert next_params(again) == next_params(ledger.state)
    assert [trial.run for trial in again.pareto()] == [trial.run for trial in ledger.state.pareto()]


def test_proposals_learn_from_whole_trials_first_then_by_rung_and_from_infeasible_ones_last(
    start: Callable[..., Ledger],
) -> None:
    ledger = start(("{metric: loss}", "{metric: [acc, rob], constraints: ['fid <= 0.1']}"), PROMOTE)
    good = {"fid": 0.1}
    begin(ledger, {**both(0.9, 0.9), **good}, {**both(0.5, 0.2), **good}, {**both(0.6, 0.1), **good})
    begin(ledger, {**both(0.9, 0.9), "fid": 0.3}, {**both(0.9, 0.9), "fid": 0.2}, {**both(0.4, 0.1), **good})
    assert promote_trial(ledger) == 0
    train(ledger, 0, 3, **both(0.9, 0.9), **good)
    begin_trial(ledger)
    study = several_study(ledger.state)
    trials = study.get_trials(deepcopy=False)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert trials[0].values == [-0.9, -0.9]
    # The one that came to rung 3; then rung 1 in its order; then by how much the constraint is broken.
    places = [trial.constraints.get(HELD) for trial in trials]
    assert places == [1, 3, 2, 6, 5, 4, None]
    assert trials[-1].state is TrialState.RUNNING


def test_trials_of_another_run_are_taken_with_all_that_counts(make_space: MakeSpace) -> None:
    old, new = make_space(), make_space(TWO)
    records: list[Any] = [TrialStarted(trial=0, params=old.base_params(), seed=0, time=0.0)]
    for number, metrics in enumerate([both(0.5, 0.5), both(0.7, 0.3), both(0.6, 0.2)], start=1):
        records.append(
            Epoch(trial=0, phase="pre", epoch=number, budget=number, metrics=metrics, seconds=0.1, eligible=True)
        )
    records.append(TrialFinished(trial=0, status="completed", reason="done", value=0.7, time=1.0))
    taken = learned(old, "dusk", records, new, same_data=True)[0]
    assert isinstance(taken, TrialTaken)
    assert (taken.value, taken.values, taken.metrics) == (0.7, {1: 0.5, 2: 0.7, 3: 0.6}, both(0.7, 0.3))
    state = SearchState.replay(new, [header(new), taken])
    (shown,) = several_study(state).get_trials(deepcopy=False)
    assert (shown.values, shown.constraints) == ([-0.7, -0.3], {})
    # A run that measured one of the two only has nothing to teach.
    assert (
        len(learned(old, "dusk", records, make_space(("{metric: loss}", "{metric: [acc, fid]}")), same_data=True)) == 1
    )


@pytest.fixture
def night(start: Callable[..., Ledger], tmp_path: Path) -> Ledger:
    """A run of four trials, of which two are the Pareto set, in `tmp_path`."""
    ledger = start(TWO, ("budget:", "run: {scheduler: none}\nbudget:"), trials=4)
    (tmp_path / "search.yaml").write_text(dump(ledger.state.space.to_mapping()))
    for number, metrics in enumerate([both(0.5, 0.5), both(0.4, 0.9), both(0.8, 0.6), both(0.8, 0.5)]):
        begin_trial(ledger)
        path = f"checkpoints/trial-{number:05d}/best"
        facts = {"epoch": 9, "metrics": metrics, "trial": number, "config": {}}
        write_checkpoint(tmp_path / path, {"cores": torch.full((2,), float(number))}, facts)
        ledger.record(CheckpointWritten(trial=number, which="best", budget=9, path=path))
        train(ledger, number, 9, **metrics)
    return ledger


def on_test_rows(config: Any, tensors: Any) -> dict[str, float]:
    return {"acc": float(tensors["cores"][0]) / 10}


def test_best_yaml_holds_the_pareto_set_and_its_first_one_as_the_best(night: Ledger, tmp_path: Path) -> None:
    found = keep_winner(night, tmp_path, on_test_rows, PATIENCE)
    assert found is not None
    assert read_best(tmp_path / "best.yaml") == found
    assert [entry.metric for entry in found.objective] == ["acc", "rob"]
    assert (found.best.trial, found.best.value, found.best.checkpoint) == (2, 0.8, "best")
    assert [(entry.trial, entry.metrics["test/acc"]) for entry in found.pareto] == [(2, 0.2), (1, 0.1)]
    assert found.pareto[1].params == night.state.finished[1].run.params
    assert (tmp_path / found.pareto[1].checkpoint).is_dir()
    text = (tmp_path / "best.yaml").read_text()
    assert "version: 3\n" in text
    (tmp_path / "best.yaml").write_text(text.replace("version: 3\n", "version: 4\n"))
    with pytest.raises(FormatError, match="version 1 or 2 or 3, but"):
        read_best(tmp_path / "best.yaml")


def test_a_member_whose_checkpoint_is_damaged_is_left_out(night: Ledger, tmp_path: Path) -> None:
    (tmp_path / "checkpoints/trial-00002/best/tensors.safetensors").write_bytes(b"")
    found = keep_winner(night, tmp_path, on_test_rows, PATIENCE, unfinished=True)
    assert found is not None
    assert found.best.trial == 1
    # Broken off, a search has time for its winner alone.
    assert [(entry.trial, "test/acc" in entry.metrics) for entry in found.pareto] == [(1, True)]


def test_best_prints_the_set_as_a_table_as_json_and_each_trial(
    night: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = summarize(tmp_path).best
    assert [entry.trial for entry in before.pareto] == [2, 1]
    keep_winner(night, tmp_path, on_test_rows, PATIENCE)
    assert main(["best", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "# Pareto set, 2 trials (acc max, rob max):\n# trial  epoch  acc  rob  test/acc  test/rob\n" in out
    assert "#     1      9  0.4  0.9       0.1         -\n" in out
    (tmp_path / "printed.yaml").write_text(out)
    assert read_best(tmp_path / "printed.yaml") == read_best(tmp_path / "best.yaml")
    assert main(["best", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["trial"] for entry in told["pareto"]] == [2, 1]
    assert main(["best", str(tmp_path), "--trial", "1"]) == 0
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    named = read_best(tmp_path / "printed.yaml").best
    assert (named.trial, named.config.born.bond_dim) == (1, night.state.finished[1].run.params["born.bond_dim"])
    assert main(["best", str(tmp_path), "--trial", "9"]) == 2
    assert "the run has no such trial: 9" in capsys.readouterr().err


def test_one_objective_leaves_no_trace_of_several(make_space: MakeSpace, tmp_path: Path) -> None:
    space = make_space()
    text = dump(space.to_mapping())
    assert "version: 1\n" in text
    assert "objective:\n  metric: loss\nbudget:" in text
    several = make_space(TWO).to_mapping()
    assert (several["version"], several["objective"]) == (2, {"metric": ["acc", "rob"]})
    path = tmp_path / "again.yaml"
    path.write_text(dump(make_space(WITHIN).to_mapping()))
    again = load_space(path)
    assert again.aims == make_space(WITHIN).aims
    assert again.base == make_space(WITHIN).base
    main_phase = again.base.main_trainer
    assert (main_phase.stop_crit, dict(main_phase.metrics)["fid"]) == ("acc", 1)


@pytest.mark.slow
def test_the_view_shows_all_objectives_and_the_constraints(
    start: Callable[..., Ledger], open_ledger: OpenLedger, tmp_path: Path
) -> None:
    ledger = start(("{metric: loss}", "{metric: [acc, rob], constraints: ['fid <= 0.1']}"), PROMOTE, trials=3)
    view = StudyView(tmp_path / "study.db", ledger.state, PATIENCE)
    ledger = open_ledger(ledger.state, view, name="more.jsonl")
    begin(ledger, {**both(0.9, 0.1), "fid": 0.3}, {**both(0.5, 0.2), "fid": 0.05}, {**both(0.1, 0.3), "fid": 0.1})
    end_remaining(ledger, "enough")
    view.close()
    assert view.problem is None
    for _ in range(2):
        study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'study.db'}")
        trials = study.get_trials(deepcopy=False)
        assert [trial.values for trial in trials] == [[0.9, 0.1], [0.5, 0.2], [0.1, 0.3]]
        assert [trial.constraints["fid <= 0.1"] <= 0 for trial in trials] == [False, True, True]
        assert [trial.user_attrs["trial"] for trial in study.best_trials] == [1, 2]
        rebuild(tmp_path / "study.db", ledger.state)


def test_what_compares_one_number_refuses_several(night: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compares one number on fresh seeds.* but it has acc, rob"):
        check_confirmable(night.state.space)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("search.yaml", "records.jsonl"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(ConfigError, match="must have one objective and no constraint, but .* has acc, rob"):
        compare([read_run(tmp_path), read_run(copy)])


def test_the_table_of_trials_says_who_is_in_the_set(night: Ledger, tmp_path: Path) -> None:
    table = trials_table(read_run(tmp_path).history)
    place = table.columns.index("pareto")
    assert [row[place] for row in table.rows] == [False, True, True, False]
    assert [row[table.columns.index("value")] for row in table.rows] == [0.5, 0.4, 0.8, 0.8]


def test_a_run_that_broke_all_constraints_names_the_nearest_trial(start: Callable[..., Ledger], tmp_path: Path) -> None:
    ledger = start(WITHIN, PROMOTE)
    (tmp_path / "search.yaml").write_text(dump(ledger.state.space.to_mapping()))
    begin(ledger, within(0.9, 0.4), within(0.8, 0.2))
    with pytest.raises(RunFolderError, match=r"none has fid <= 0.1 \(trial 1 is the nearest: fid 0.2\)"):
        summarize(tmp_path)
    begin(ledger, within(0.3, 0.1))
    assert summarize(tmp_path).best.best.trial == 2
    assert pareto_lines(summarize(tmp_path).best) == []


def test_a_report_shows_the_set_where_the_base_stands_and_what_was_searched_for(
    night: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "searched for the highest acc and the highest rob on validation rows" in page
    assert page.count('<table id="pareto">') == 1
    rows = page[page.index('<table id="pareto">') :].split("</table>")[0].count('<tr><th scope="row"')
    assert rows == 2
    # Trial 0 has 0.5 and 0.5; trial 2 is better in both, trial 3 in one and as good in the other.
    assert "came to acc 0.5, rob 0.5 at epoch 9: 2 trials beat it, trial 2 among them." in page
    assert "Trial 2 has the best acc of the 2 trials of the Pareto set so far" in page
