"""What a new run tries before it proposes anything: configurations out of files, and the best of another run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import TrialCounts
from bmtune.config.best import write_best
from bmtune.config.space import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.errors import BmtuneError
from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RunStarted
from bmtune.records import TrialEnqueued
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import read_records
from bmtune.records import to_line
from bmtune.search.conduct import begin_trial
from bmtune.search.ledger import Ledger
from bmtune.search.next_trial import next_params
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options
from bmtune.search.run_folder import open_run
from bmtune.search.state import SearchState
from bmtune.search.tried_first import Source
from bmtune.search.tried_first import TriedFirst
from bmtune.search.tried_first import out_of_files
from bmtune.search.tried_first import with_best_of

BOND, LR = "born.bond_dim", "trainer.classification.optimizer.lr"
MakeSpace = Callable[..., SearchSpace]


def old_records(space: SearchSpace, *trials: tuple[dict[str, Any], float]) -> list[Record]:
    """A run whose trials all ended, each with one epoch of this loss."""
    found: list[Record] = [
        RunStarted(
            run="night",
            trainer="classification",
            dataset="moons_small",
            data_hash="",
            objective={"metric": "loss", "mode": "min"},  # type: ignore[arg-type]
            trials=len(trials),
            max_epochs=9,
            seed=0,
            bmtune="0",
            time=1.0,
        )
    ]
    for number, (params, loss) in enumerate(trials):
        best = {"best_epoch": 1, "best_metrics": {"loss": loss}}
        found += [
            TrialStarted(trial=number, params=params, seed=number, time=1.0),
            Epoch(
                trial=number,
                phase="pre",
                epoch=1,
                budget=1,
                metrics={"loss": loss},
                seconds=0.1,
                eligible=True,
                **best,  # type: ignore[arg-type]
            ),
            TrialFinished(trial=number, status="completed", reason="done", value=loss, time=2.0, **best),  # type: ignore[arg-type]
        ]
    return found


def params(lr: float = 0.01, bond_dim: int = 6) -> dict[str, Any]:
    return {LR: lr, BOND: bond_dim}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str) -> Path:
        path = tmp_path / f"given-{len(list(tmp_path.glob('given-*')))}.yaml"
        path.write_text(text)
        return path

    return to_file


@pytest.mark.parametrize(
    "text",
    [
        "born: {bond_dim: 7}",
        "born.bond_dim: 7",
        "trainer.classification: {optimizer: {lr: 0.001}}\nborn: {bond_dim: 7}",
    ],
)
def test_a_file_says_what_it_changes_about_the_base(make_space: MakeSpace, write: Any, text: str) -> None:
    found = out_of_files(make_space(), [write(text)])
    lr = 0.001 if "lr" in text else make_space().base_params()[LR]
    (entry,) = found.entries
    assert entry.params == {LR: lr, BOND: 7}
    assert entry.source.endswith(".yaml")


def best_file(space: SearchSpace, config: dict[str, Any]) -> BestFile:
    return BestFile(
        run="night",
        trainer="classification",
        dataset="moons_small",
        objective=(ObjectiveEntry(metric="loss", mode="min"),),
        best=BestEntry(
            trial=3,
            value=0.1,
            epoch=2,
            metrics={"loss": 0.1},
            config=space.configure(params(lr=0.02)).model_copy(update=config),
            checkpoint="best",
        ),
        trials=TrialCounts(total=1, completed=1, pruned=0, failed=0),
    )


def test_a_best_file_is_taken_with_its_seeds_and_budget_left_out(make_space: MakeSpace, tmp_path: Path) -> None:
    longer = make_space(("max_epochs: 9", "max_epochs: 81"))
    write_best(tmp_path / "best.yaml", best_file(longer, {"seed": 17, "name": "night"}))
    found = out_of_files(make_space(), [tmp_path / "best.yaml"])
    assert [entry.params for entry in found.entries] == [params(lr=0.02)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "born: {bond_dim: 40}",
            "must lie within the searched space, but its born.bond_dim is 40, outside whole numbers from 2 to 12",
        ),
        (
            "born: {physical_dim: 7}",
            "must equal the base in what is not searched, but born.physical_dim is 7 there and",
        ),
        ("born: {bnd_dim: 4}", "did you mean 'born.bond_dim'?"),
        ("parameters: {}\ntrainer: gan", "is a search space"),
        ("format: bmtune.best\nversion: 99", "version 99"),
        ("- 1", "holds a list"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(
    make_space: MakeSpace, write: Any, text: str, said: str
) -> None:
    with pytest.raises(BmtuneError) as error:
        out_of_files(make_space(), [write(text)])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_tried_anyway_is_tried_once_and_the_user_is_told(make_space: MakeSpace, write: Any) -> None:
    files = [write("born: {bond_dim: 7}"), write("born.bond_dim: 7"), write("{}\n")]
    found = out_of_files(make_space(), files[:2])
    assert (len(found.entries), len(found.told)) == (1, 1)
    assert "tried once" in found.told[0]
    base = out_of_files(make_space(), [write(f"{LR}: {make_space().base_params()[LR]}")])
    assert (base.entries, len(base.told)) == ((), 1)


def test_more_files_than_trials_are_refused(make_space: MakeSpace, write: Any) -> None:
    space = make_space(("trials: 8", "trials: 2"))
    with pytest.raises(ConfigError, match="there are 2 besides the base one and --trials is 2"):
        out_of_files(space, [write("born: {bond_dim: 7}"), write("born: {bond_dim: 8}")])


def test_the_best_of_another_run_are_tried_in_order_and_those_that_do_not_fit_are_named(make_space: MakeSpace) -> None:
    old, new = make_space(), make_space(("low: 2, high: 12", "low: 2, high: 8"))
    records = old_records(old, (params(0.01, 12), 0.1), (params(0.02), 0.3), (params(0.03), 0.2), (params(0.04), 0.4))
    found = with_best_of(Source("night", old, records, 2), new, TriedFirst())
    assert [(entry.params, entry.source) for entry in found.entries] == [
        (params(0.03), "night/2"),
        (params(0.02), "night/1"),
    ]
    (told,) = found.told
    assert told.startswith("after the base configuration, those of trials 2, 1 of night are tried first; 1 better")
    assert "trial 0: its born.bond_dim is 12, outside whole numbers from 2 to 8" in told


def test_what_the_new_run_fixes_is_as_the_new_run_has_it(make_space: MakeSpace) -> None:
    old = make_space(("moons_small", "iris"))
    new = make_space(("  born.bond_dim: {type: int, low: 2, high: 12}\n", ""))
    found = with_best_of(Source("night", old, old_records(old, (params(0.02, 11), 0.1)), 5), new, TriedFirst())
    assert [entry.params for entry in found.entries] == [{LR: 0.02}]


def test_no_more_are_taken_than_there_are_trials(make_space: MakeSpace) -> None:
    space = make_space(("trials: 8", "trials: 3"))
    records = old_records(space, *((params(0.01 * place), 0.1 * place) for place in range(1, 6)))
    before = TriedFirst((TrialEnqueued(params=params(0.01), source="file"),))
    found = with_best_of(Source("night", space, records, 5), space, before)
    assert [entry.params[LR] for entry in found.entries] == [0.01, 0.02]


def test_a_run_of_which_nothing_fits_or_was_measured_is_refused(make_space: MakeSpace) -> None:
    old, new = (
        make_space(),
        make_space(("low: 2, high: 12", "low: 2, high: 5"), ("base: {", "base: {born: {bond_dim: 5}, ")),
    )
    with pytest.raises(
        ConfigError, match=r"of the 1 measured trials of night none does \(trial 0: its born.bond_dim is"
    ):
        with_best_of(Source("night", old, old_records(old, (params(), 0.1)), 5), new, TriedFirst())
    with pytest.raises(RunFolderError, match="but night has none"):
        with_best_of(Source("night", old, old_records(old), 5), new, TriedFirst())


def test_the_base_comes_first_then_what_is_tried_first_then_proposals_and_a_replay_agrees(
    make_space: MakeSpace, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    space = make_space()
    ledger = open_ledger(space)
    for place in (1, 2):
        ledger.record(TrialEnqueued(params=params(0.01 * place, 11), source="file"))
    before = SearchState.replay(space, read_records(tmp_path / "records.jsonl").records)
    assert before.enqueued == ledger.state.enqueued
    begun = [begin_trial(ledger) for _ in range(2)]
    # As if the run were killed here: a replay goes on with the second one and then with the same proposal.
    again = SearchState.replay(space, read_records(tmp_path / "records.jsonl").records)
    assert next_params(again) == params(0.02, 11)
    begun += [begin_trial(ledger) for _ in range(2)]
    again = SearchState.replay(space, read_records(tmp_path / "records.jsonl").records[:-1])
    found = [trial.params for trial in begun if trial is not None]
    assert found[:3] == [space.base_params(), params(0.01, 11), params(0.02, 11)]
    assert next_params(again) == found[3]
    with pytest.raises(ValueError, match="must come before the first trial"):
        ledger.state.apply(TrialEnqueued(params=params(), source="file"))


def test_a_configuration_outside_the_space_cannot_be_recorded(make_space: MakeSpace) -> None:
    with pytest.raises(ValueError, match="must have parameters of the space"):
        SearchState(make_space()).apply(TrialEnqueued(params={"born.physical_dim": 3}, source="file"))


@pytest.fixture
def night(make_space: MakeSpace, tmp_path: Path) -> Path:
    space = make_space()
    folder = tmp_path / "outputs" / "night"
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text(dump(space.to_mapping()))
    found = check_data(ResolvedSearch(space, tmp_path / "unused", None)).data_hash
    records = old_records(space, (params(0.02, 4), 0.3), (params(0.03, 5), 0.2))
    records[0] = records[0].model_copy(update={"data_hash": found})
    (folder / "records.jsonl").write_bytes(b"".join(map(to_line, records)))
    return folder


def request(tmp_path: Path, **options: Any) -> SearchRequest:
    return SearchRequest("classification", space=tmp_path / "space.yaml", storage=tmp_path / "outputs", **options)


def test_a_run_that_starts_from_another_writes_down_what_it_takes_over(night: Path, tmp_path: Path) -> None:
    search = check_data(resolve_options(request(tmp_path, name="day", from_run="night", from_top=1)))
    with open_run(search) as run:
        kinds = [type(record) for record in run.first]
        assert kinds == [RunStarted, TrialTaken, TrialTaken, Notice, TrialEnqueued, Notice]
        for record in run.first:
            run.writer.write(record)
            run.state.apply(record)
        assert run.state.num_taken == 2
        assert run.state.enqueued == [params(0.03, 5)]
    assert json.loads((tmp_path / "outputs/day/records.jsonl").read_text().splitlines()[0])["record"]["version"] == 4
    # The run goes on by its own records: the other one may be gone.
    (night / "records.jsonl").unlink()
    again = resolve_options(SearchRequest(None, name="day", storage=tmp_path / "outputs", resume=True))
    with open_run(replace(again, data_hash=search.data_hash)) as run:
        assert (run.state.num_taken, run.state.enqueued) == (2, [params(0.03, 5)])


def test_a_path_leads_to_the_run_too_and_no_configuration_need_be_tried(night: Path, tmp_path: Path) -> None:
    search = check_data(resolve_options(request(tmp_path, name="day", from_run=str(night), from_top=0)))
    assert (search.first.entries, search.old.folder if search.old else None) == ((), night)
    assert not search.resumes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"from_run": "day"}, "a run to start from must be a folder with search.yaml, but"),
        ({"from_top": 3}, "--from-top takes a number of configurations of the run in --from, 0 or more, but got 3"),
        ({"from_run": "night", "from_top": -1}, "0 or more, but got -1"),
        ({"from_run": "night", "resume": True}, "--from was given for one that goes on"),
        ({"enqueue": (Path("a.yaml"),), "resume": True}, "--enqueue was given for one that goes on"),
        ({"enqueue": (Path("absent.yaml"),)}, "absent.yaml is not: No such file"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_written(
    night: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BmtuneError) as error:
        resolve_options(request(tmp_path, name="dawn", **options))
    assert said in str(error.value)
    assert not (tmp_path / "outputs" / "dawn").exists()
