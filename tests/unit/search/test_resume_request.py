"""What `--resume` accepts, refuses and takes over, before anything runs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.cli import app
from bmtune.config.space import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import RunFinished
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import read_records
from bmtune.records import to_line
from bmtune.search.lock import RunLock
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options
from bmtune.search.run_folder import open_run
from bmtune.search.state import SearchState


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def make_run(make_space: Callable[..., SearchSpace], storage: Path) -> Callable[..., Path]:
    """A run folder of 8 trials: two have ended, one was running."""

    def make(name: str = "night", *more: Any, at: float = 1000.0) -> Path:
        space = make_space()
        folder = storage / name
        folder.mkdir(parents=True)
        (folder / "search.yaml").write_text(dump(space.to_mapping()))
        (folder / "records.jsonl").write_bytes(b"".join(map(to_line, (*records(space), *more))))
        for file in folder.iterdir():
            os.utime(file, (at, at))
        return folder

    return make


def records(space: SearchSpace) -> list[Any]:
    found: list[Any] = [
        RunStarted(
            run="night",
            trainer="classification",
            dataset="moons_small",
            data_hash="old",
            objective={"metric": "loss", "mode": "min"},  # type: ignore[arg-type]
            trials=8,
            max_epochs=9,
            seed=0,
            bmtune="0",
            time=1.0,
        )
    ]
    for trial in range(3):
        params = {"trainer.classification.optimizer.lr": 10.0 ** -(trial + 2), "born.bond_dim": 3 + 4 * trial}
        found.append(TrialStarted(trial=trial, params=params, seed=trial, time=1.0))
        found += [epoch(trial, number) for number in range(1, 10)]
    # The rungs are 1 and 3; what halving decided there does not matter here.
    found += [
        TrialFinished(trial=trial, status="completed", reason="done", value=0.1 * (trial + 1), best_epoch=9, time=2.0)
        for trial in (0, 1)
    ]
    return found


def epoch(trial: int, number: int) -> Epoch:
    metrics = {"loss": 0.1 * (trial + 1) + 1 / number}
    return Epoch(
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


def resume(storage: Path, **options: Any) -> SearchRequest:
    return SearchRequest(options.pop("trainer", None), storage=storage, resume=True, **options)


def test_the_named_run_or_the_newest_one_goes_on(make_run: Callable[..., Path], storage: Path) -> None:
    older, newer = make_run("older", at=1000.0), make_run("newer", at=2000.0)
    assert resolve_options(resume(storage)).run_folder == newer
    found = resolve_options(resume(storage, name="older", trainer="classification"))
    assert (found.run_folder, found.resumes, found.old.num_started) == (older, True, 3)  # type: ignore[union-attr]


def test_what_does_not_change_results_may_change(make_run: Callable[..., Path], storage: Path) -> None:
    make_run()
    found = resolve_options(
        resume(
            storage,
            trials=20,
            time_budget_s=60.0,
            max_concurrent=1,
            pack=1,
            report_every_s=0.0,
            max_failures=9,
            confirm="1:2",
        )
    )
    assert found.space.budget.trials == 20
    run = found.space.run
    assert (run.time_budget_s, run.max_concurrent, run.pack, run.report_every_s, run.max_failures) == (60, 1, 1, 0, 9)
    assert run.confirm == "1:2"
    # Packs were the default, and with them halving that promotes: it stays.
    assert run.halving == "promote"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 3}, "run.seed: 0 -> 3"),
        ({"max_epochs": 27}, "budget.max_epochs: 9 -> 27"),
        ({"metrics": ("acc",)}, "objective.metric: loss -> acc"),
        ({"sampler": "random"}, "run.sampler: tpe -> random"),
        ({"scheduler": "none"}, "run.scheduler: asha -> none"),
        ({"dataset": "iris"}, "base.data.dataset: moons_small -> iris"),
        ({"overrides": (("born.physical_dim", "5"),)}, "base.born.physical_dim: "),
        ({"overrides": (("born.bond_dim", "5"),)}, "parameters.born.bond_dim.high: 12 -> nothing"),
    ],
)
def test_what_changes_results_is_refused_with_the_difference(
    make_run: Callable[..., Path], storage: Path, options: dict[str, Any], told: str
) -> None:
    folder = make_run()
    before = (folder / "records.jsonl").read_bytes()
    with pytest.raises(
        ConfigError, match="add --force to start a new run that learns from its finished trials"
    ) as error:
        resolve_options(resume(storage, **options))
    assert told in str(error.value)
    assert (folder / "records.jsonl").read_bytes() == before
    learning = resolve_options(resume(storage, force=True, **options))
    assert (learning.run_folder, learning.resumes) == (storage / "night-2", False)


def test_other_rows_of_the_data_set_are_refused_too(make_run: Callable[..., Path], storage: Path) -> None:
    make_run()
    with pytest.raises((ConfigError, DataError), match="data"):
        check_data(resolve_options(resume(storage)))


def test_fewer_trials_than_were_started_are_refused(make_run: Callable[..., Path], storage: Path) -> None:
    make_run()
    with pytest.raises(ConfigError, match="has started 3 and --trials is 2"):
        resolve_options(resume(storage, trials=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--resume"], "error: a run must be there to be resumed, but "),
        (["search", "--resume", "--name", "nobody"], "error: a run must be there to be resumed, but "),
        (["search", "gan", "--force"], "error: --force says what becomes of a run that cannot be resumed"),
        (["search", "gan", "--resume", "--name", "night"], "error: a run goes on with its trainer, but "),
        (["search", "classification", "--name", "night"], "error: a run needs a folder of its own, but "),
    ],
)
def test_each_mistake_is_one_sentence(
    make_run: Callable[..., Path],
    storage: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "night" in arguments:
        make_run()
    assert app.main([*arguments, "--storage", str(storage)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_run_that_has_ended_says_so_and_goes_on_with_more_trials(
    make_run: Callable[..., Path], storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("night", RunFinished(reason="all trials ended", best=0, time=3.0))
    assert app.main(["search", "--resume", "--storage", str(storage)]) == 0
    assert (
        "has ended (all trials ended) with 3 trials; give --resume and another --time-budget, or --trials larger than "
        "3, to go on" in capsys.readouterr().out
    )
    assert app.main(["search", "--resume", "--trials", "3", "--storage", str(storage)]) == 0
    assert "; give --resume and --trials larger than 3 to go on" in capsys.readouterr().out
    for more in ({"trials": 9}, {"time_budget_s": 60.0}):
        assert resolve_options(resume(storage, **more)).old.ended is None  # type: ignore[union-attr]


def test_a_live_run_is_refused_and_the_lock_of_a_dead_process_is_not_in_the_way(
    make_run: Callable[..., Path], storage: Path
) -> None:
    folder = make_run()
    with RunLock(folder), pytest.raises(RunFolderError, match="is being written by process"):
        resolve_options(resume(storage))
    # The file stays where its process was killed.
    assert (folder / ".lock").exists()
    assert resolve_options(resume(storage)).resumes


def test_an_opened_run_is_replayed_says_so_and_cuts_a_torn_tail(make_run: Callable[..., Path], storage: Path) -> None:
    folder = make_run()
    path = folder / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"crc":"00')
    with open_run(resolve_options(resume(storage, trials=20))) as run:
        assert path.read_bytes() == whole
        assert isinstance(run.first[0], RunResumed)
        assert run.first[0].trials == 20
        assert [change.key for change in run.first[0].changes] == ["budget.trials"]
        assert [record.text for record in run.first[1:]] == [  # type: ignore[union-attr]
            f"the last line of {path} was torn: its 10 bytes were cut off"
        ]
        assert (sorted(run.state.running), sorted(run.state.finished), run.state.num_started) == ([2], [0, 1], 3)


def test_damage_in_the_middle_names_the_line_and_what_a_repair_would_keep(
    make_run: Callable[..., Path], storage: Path
) -> None:
    folder = make_run()
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"loss", b"lost", 1)
    (folder / "records.jsonl").write_bytes(b"".join(lines))
    search = resolve_options(resume(storage))
    with pytest.raises(FormatError) as error, open_run(search):
        pass
    assert "line 5 of" in str(error.value)
    assert f"`bmtune doctor {folder} --repair` would keep {len(lines) - 1} of {len(lines)} records" in str(error.value)


def test_a_forced_run_learns_from_the_finished_trials_that_it_might_have_proposed(
    make_run: Callable[..., Path], storage: Path
) -> None:
    make_run()
    # Bond dimension 7 is the second trial's; the space of the new run ends at 6.
    search = resolve_options(
        resume(storage, force=True, seed=5, space=_narrow(storage)),
    )
    from dataclasses import replace

    with open_run(replace(search, data_hash="old")) as run:
        header, taken, notice = run.first
        assert isinstance(header, RunStarted)
        assert isinstance(taken, TrialTaken)
        assert (taken.from_run, taken.from_trial, taken.status) == ("night", 0, "completed")
        assert isinstance(notice, Notice)
        assert notice.text.startswith("this run learns from 1 of the 2 finished trials of night")
        for record in run.first:
            run.state.apply(record)
            run.writer.write(record)
        assert run.state.num_started == 0
        (known,) = run.state.study.trials
        again = SearchState.replay(search.space, read_records(search.run_folder / "records.jsonl").records)
        assert [trial.params for trial in again.study.trials] == [known.params]
    with open_run(replace(search, run_folder=storage / "other", data_hash="new")) as run:
        assert [type(record) for record in run.first] == [RunStarted, Notice]


def _narrow(storage: Path) -> Path:
    text = (storage / "night" / "search.yaml").read_text()
    assert "high: 12" in text
    path = storage / "narrow.yaml"
    path.write_text(text.replace("high: 12", "high: 6"))
    return path
