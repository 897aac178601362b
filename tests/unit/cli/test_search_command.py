import json
from collections.abc import Callable
from pathlib import Path

import pytest

import bmtune.cli.searching as searching
from bmtune.cli.app import main
from bmtune.config.best import BestFile
from bmtune.config.space import load_space
from bmtune.confirmation.progress import Follower
from bmtune.records import LaneWatcher
from bmtune.records import Listener
from bmtune.records import Objective
from bmtune.records import RunStarted
from bmtune.search.copy_address import local_storage
from bmtune.search.outcome import SearchOutcome
from bmtune.search.outcome import how_to_resume
from bmtune.search.request import SearchRequest

BEST = {
    "run": "night",
    "trainer": "gan",
    "dataset": "iris",
    "objective": [{"metric": "fid", "mode": "min"}],
    "best": {"trial": 1, "value": 0.1, "epoch": 2, "metrics": {"fid": 0.1}, "config": {}, "checkpoint": "best"},
    "trials": {"total": 2, "completed": 2, "pruned": 0, "failed": 0},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Search:
    """Stands for the search itself: remembers what it was asked and says what it is told to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[SearchRequest] = []
        self.signal: int | None = None
        monkeypatch.setattr(searching, "search", self)

    def __call__(
        self, request: SearchRequest, listener: Listener, follower: Follower, watcher: LaneWatcher
    ) -> SearchOutcome:
        assert follower is watcher is listener
        self.requests.append(request)
        listener.on_record(
            RunStarted(
                run="night",
                trainer="gan",
                dataset="iris",
                data_hash="0",
                objective=Objective(metric="fid", mode="min"),
                trials=2,
                max_epochs=9,
                seed=0,
                bmtune="0.1.0",
                time=0.0,
            )
        )
        best = BestFile.model_validate(BEST)
        advice = None if self.signal is None else how_to_resume("gan", Path("outputs/night"))
        interrupted = self.signal is not None
        return SearchOutcome(Path("outputs/night"), best, best.trials, interrupted, signal=self.signal, advice=advice)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(monkeypatch)


def test_without_options_the_search_space_decides(stub: Search):
    assert main(["search", "gan"]) == 0
    assert stub.requests == [SearchRequest(trainer="gan")]


def test_every_option_reaches_the_request(stub: Search, here: Path):
    space = Path(__file__).parents[3] / "search_spaces" / "gan.yaml"
    text = (
        f"search gan --space {space} --dataset iris --trials 5 --max-epochs 7 --time-budget 10m --metric acc --seed 3 "
        "--name night --storage elsewhere --address auto --set born.bond_dim=8 --set evaluation.num_samples=99 "
        "--scheduler asha --halving promote --sampler random --cpus-per-trial 2 --gpus-per-trial 0.5 "
        "--resource A100=0.25 --resource fast=1 --max-concurrent 4 --report-every 0 --confirm 2:4"
    )
    assert main(text.split()) == 0
    assert stub.requests == [
        SearchRequest(
            trainer="gan",
            space=space,
            dataset="iris",
            trials=5,
            max_epochs=7,
            time_budget_s=600.0,
            metrics=("acc",),
            seed=3,
            name="night",
            storage=Path("elsewhere"),
            address="auto",
            overrides=(("born.bond_dim", "8"), ("evaluation.num_samples", "99")),
            scheduler="asha",
            halving="promote",
            sampler="random",
            cpus_per_trial=2,
            gpus_per_trial="0.5",
            resources=(("A100", 0.25), ("fast", 1.0)),
            max_concurrent=4,
            report_every_s=0.0,
            confirm="2:4",
        )
    ]


def test_several_objectives_and_what_is_tried_first_reach_the_request(stub: Search, here: Path):
    space = Path(__file__).parents[3] / "search_spaces" / "gan.yaml"
    (here / "outputs" / "dusk").mkdir(parents=True)
    (here / "outputs" / "dusk" / "search.yaml").write_text(space.read_text())
    (here / "a.yaml").write_text("born.bond_dim: 8")
    (here / "b.yaml").write_text("born: {bond_dim: 9}")
    text = "search gan --metric acc --metric rob --constraint fid<=0.1 --constraint loss<=1 --from dusk --from-top 3"
    assert main([*text.split(), "--enqueue", "a.yaml", "--enqueue", "b.yaml"]) == 0
    assert stub.requests == [
        SearchRequest(
            trainer="gan",
            metrics=("acc", "rob"),
            constraints=("fid<=0.1", "loss<=1"),
            from_run="dusk",
            from_top=3,
            enqueue=(Path("a.yaml"), Path("b.yaml")),
        )
    ]


def test_a_log_gets_lines_and_then_the_best_configuration(stub: Search, capsys: pytest.CaptureFixture[str]):
    assert main(["search", "gan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "starting Ray" in lines[0]
    assert "run night: gan on iris" in lines[1]
    assert lines[2] == "# the best configuration, kept in outputs/night/best.yaml"
    assert lines[3] == "format: bmtune.best"


def test_a_program_gets_events_and_nothing_else(stub: Search, capsys: pytest.CaptureFixture[str]):
    assert main(["search", "gan", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["starting", "started", "result"]
    assert all((event["format"], event["version"]) == ("bmtune.events", 1) for event in events)
    assert events[1]["objectives"] == [{"metric": "fid", "mode": "min"}]
    told = {key: value for key, value in events[2].items() if key not in ("format", "version", "time", "elapsed_s")}
    assert told == {
        "event": "result",
        "run_folder": "outputs/night",
        "best_file": "outputs/night/best.yaml",
        "trial": 1,
        "value": 0.1,
        "verdict": None,
        "interrupted": False,
        "exit_code": 0,
    }


def test_a_program_hears_of_an_interruption(stub: Search, capsys: pytest.CaptureFixture[str]):
    stub.signal = 15
    assert main(["search", "gan", "--json"]) == 143
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["interrupted"], last["exit_code"]) == (True, 143)
    assert "go on with: bmtune search gan --name night --resume" in captured.err


def test_a_program_gets_a_dry_run_as_one_event(stub: Search, capsys: pytest.CaptureFixture[str]):
    assert main(["search", "classification", "--dataset", "iris", "--trials", "3", "--dry-run", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert (event["event"], event["resumes"]) == ("resolved", False)
    assert event["search"]["budget"]["trials"] == 3
    assert stub.requests == []


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (1, 129)])
def test_an_interrupted_search_says_where_it_stands_and_how_to_go_on(
    stub: Search, capsys: pytest.CaptureFixture[str], number: int, code: int
):
    stub.signal = number
    assert main(["search", "gan"]) == code
    captured = capsys.readouterr()
    assert captured.err == (
        "what was found so far is in outputs/night\ngo on with: bmtune search gan --name night --resume\ninterrupted\n"
    )
    assert "format: bmtune.best" in captured.out


def test_a_mistake_is_told_before_anything_is_drawn_or_started(stub: Search, capsys: pytest.CaptureFixture[str]):
    assert main(["search", "gan", "--metric", "fit"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: a metric must be one of")
    assert "did you mean 'fid'?" in captured.err
    assert stub.requests == []


def test_a_dry_run_prints_a_search_that_can_be_run_and_writes_nothing(
    stub: Search, here: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
):
    assert main(["search", "classification", "--dataset", "iris", "--trials", "3", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert list(here.iterdir()) == []
    assert stub.requests == []
    copy = tmp_path_factory.mktemp("copy") / "search.yaml"
    copy.write_text(text)
    space = load_space(copy)
    assert (space.trainer, space.base.data.dataset, space.budget.trials) == ("classification", "iris", 3)


def test_a_dry_run_checks_the_data_too(here: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["search", "gan", "--dataset", "iris", "--set", "trainer.classification.batch_size=999", "--dry-run"]) == 2
    )
    captured = capsys.readouterr()
    assert captured.err.startswith("error: a batch must not be larger than the training split")
    assert captured.out == ""


def test_how_to_go_on_names_the_storage_where_it_is_not_the_usual_one_and_can_be_pasted():
    said = how_to_resume("gan", Path("/data/my runs/a"))
    assert said == "go on with: bmtune search gan --name a --resume --storage '/data/my runs'"


def test_how_to_go_on_names_the_address_of_the_copy():
    said = how_to_resume("gan", Path("/cache/a"), "s3://bucket/runs")
    assert said == "go on with: bmtune search gan --name a --resume --storage s3://bucket/runs"


@pytest.fixture
def far(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("far")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder / "runs"


def test_an_address_reaches_the_request_and_a_dry_run_shows_it_and_writes_nothing(
    stub: Search, here: Path, far: Path, capsys: pytest.CaptureFixture[str]
):
    address = far.as_uri()
    assert main(["search", "gan", "--name", "night", "--storage", address]) == 0
    assert stub.requests == [SearchRequest("gan", name="night", storage=local_storage(address), copy_at=address)]
    capsys.readouterr()
    assert main(["search", "gan", "--dataset", "iris", "--name", "night", "--storage", address, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"# a copy would be kept at {address}/night"
    assert not far.exists()
    assert not (far.parent / "cache").exists()


def test_an_address_where_there_is_a_run_or_that_nobody_knows_is_told_before_anything_starts(
    stub: Search, here: Path, far: Path, capsys: pytest.CaptureFixture[str]
):
    (far / "night").mkdir(parents=True)
    (far / "night" / "records.jsonl").touch()
    assert main(["search", "gan", "--name", "night", "--storage", far.as_uri()]) == 2
    assert "holds something already; give another --name, or --resume" in capsys.readouterr().err
    assert main(["search", "gan", "--name", "night", "--storage", "nothing://x/y"]) == 2
    assert "nothing://x/y/night is not (" in capsys.readouterr().err
    assert main(["search", "--resume", "--name", "day", "--storage", far.as_uri()]) == 2
    assert f"{far.as_uri()}/day holds none" in capsys.readouterr().err
    assert stub.requests == []
    assert not (far.parent / "cache").exists()


def test_an_ended_run_that_is_resumed_brings_its_copy_up(
    stub: Search, here: Path, far: Path, write_run: Callable[..., Path], told: type, capsys: pytest.CaptureFixture[str]
):
    address = far.as_uri()
    local_storage(address).mkdir(parents=True)
    run = local_storage(address) / "night"
    write_run(told([0.5])).rename(run)
    assert main(["search", "--resume", "--name", "night", "--storage", address]) == 0
    assert capsys.readouterr().err == f"a copy of the run is at {address}/night\n"
    assert (far / "night" / "records.jsonl").read_bytes() == (run / "records.jsonl").read_bytes()
    assert stub.requests == []
