import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import TrialState

from bmtune.config.root import TrialConfig
from bmtune.config.space import load_space
from bmtune.config.yaml_text import parse
from bmtune.errors import DashboardError
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Bound
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import read_records
from bmtune.records import rewrite
from bmtune.records import to_line
from bmtune.search import run_mirror
from bmtune.search.attachments import MOST_PICTURES
from bmtune.search.dashboard import Served
from bmtune.search.dashboard import dashboard
from bmtune.search.lock import RunLock
from bmtune.search.run_mirror import RunMirror

# Optuna's page takes a second to import.
pytestmark = pytest.mark.slow

Write = Callable[..., Path]
Tell = Callable[..., Any]
PNG = b"\x89PNG\r\n\x1a\n..."


class Counting:
    """Says how many records it was told."""

    def __init__(self, *_: object) -> None:
        self.count = 0

    def on_record(self, record: Record) -> None:
        self.count += 1

    def text(self) -> str:
        return f"{self.count} records"


def mirror(folder: Path) -> RunMirror:
    return RunMirror(folder, Counting)


def shown(found: RunMirror) -> list[Any]:
    return found.storage.get_all_trials(found.storage.study_id)


def note(found: RunMirror, trial: int | None = None) -> str:
    key = "dashboard:note_str:" if trial is None else f"dashboard:{trial}:note_str:"
    attributes = found.storage.get_study_system_attrs(found.storage.study_id)
    parts = {name: value for name, value in attributes.items() if name.startswith(key)}
    return "".join(parts[f"{key}{place}"] for place in range(len(parts)))


def test_a_study_has_what_the_records_say(write_run: Write, told: Tell):
    folder = write_run(
        told((0.5, 0.4, 0.45)),
        told((0.3,), "pruned", reason="stopped at rung 1", rungs={1: "stop"}),
        told((), "failed", reason="the loss is not finite"),
        told((0.6, 0.7), None),
        ended=False,
    )
    found = mirror(folder)
    trials = shown(found)
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [trial.values for trial in trials] == [[0.4], [0.3], None, [0.6]]
    assert [trial.intermediate_values for trial in trials] == [
        {1: 0.5, 2: 0.4, 3: 0.45},
        {1: 0.3},
        {},
        {1: 0.6, 2: 0.7},
    ]
    assert trials[0].datetime_start == datetime.fromtimestamp(100.0)
    assert trials[0].datetime_complete == datetime.fromtimestamp(106.0)
    assert trials[3].datetime_complete is None
    assert trials[1].user_attrs["state"] == "pruned (stopped at rung 1)"
    assert trials[0].user_attrs["acc"] == pytest.approx(0.6)
    assert "train/loss" not in trials[0].user_attrs
    # A trial that was stopped at a rung does not win over one that went on, whatever its value there.
    assert found.storage.get_best_trial(found.storage.study_id).number == 0
    assert [study.study_name for study in found.storage.get_all_studies()] == ["night"]


def test_a_study_follows_its_search_and_leaves_no_trace_in_its_folder(write_run: Write, told: Tell):
    whole = write_run(told((0.5, 0.4, 0.3)), told((0.2,)))
    content = (whole / "records.jsonl").read_bytes().splitlines(keepends=True)
    path = whole / "records.jsonl"
    path.write_bytes(b"".join(content[:3]) + content[3][:20])
    before = {found.name: found.stat().st_mtime_ns for found in whole.iterdir()}
    # The search has the run open, as long as it goes on.
    with RunLock(whole):
        found = mirror(whole)
        assert [trial.intermediate_values for trial in shown(found)] == [{1: 0.5}]
        assert note(found) == "3 records"
        assert {found.name for found in whole.iterdir()} - {".lock"} == set(before) - {".lock"}
        assert {name: (whole / name).stat().st_mtime_ns for name in before} == before
        path.write_bytes(b"".join(content))
        found.refresh()
        assert [trial.values for trial in shown(found)] == [[0.3], [0.2]]
        assert note(found) == f"{len(content)} records"


def test_a_paused_trial_is_shown_running_so_that_the_page_goes_on_asking_for_it(write_run: Write, told: Tell):
    found = mirror(write_run(told((0.5,), None, rungs={1: "pause"}), ended=False))
    (trial,) = shown(found)
    assert (trial.state, trial.user_attrs["state"]) == (TrialState.RUNNING, "paused at rung 1")


def test_records_that_were_put_in_the_place_of_others_are_read_from_their_beginning(write_run: Write, told: Tell):
    folder = write_run(told((0.5, 0.4)), told((0.3,)))
    found = mirror(folder)
    records = read_records(folder / "records.jsonl").records
    rewrite(folder / "records.jsonl", records[:3])
    found.refresh()
    assert [trial.intermediate_values for trial in shown(found)] == [{1: 0.5}]
    assert note(found) == "3 records"


def test_damage_is_told_and_what_came_before_it_is_still_shown(write_run: Write, told: Tell):
    folder = write_run(told((0.5, 0.4)))
    path = folder / "records.jsonl"
    found = mirror(folder)
    sound = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"no record\n")
    found.refresh()
    assert len(shown(found)) == 1
    assert "they do not (it is not a record); `bmtune doctor" in note(found)
    with pytest.raises(FormatError, match="--repair"):
        mirror(folder)
    path.unlink()
    path.write_bytes(sound)
    found.refresh()
    assert found.problem is None
    assert note(found).endswith("records")


def test_a_run_that_is_removed_is_told_and_shown_as_it_was(write_run: Write, told: Tell):
    folder = write_run(told((0.5, 0.4)))
    found = mirror(folder)
    (folder / "records.jsonl").rename(folder / "elsewhere")
    found.refresh()
    assert "No such file" in note(found)
    assert [trial.values for trial in shown(found)] == [[0.4]]
    (folder / "elsewhere").rename(folder / "records.jsonl")
    found.refresh()
    assert found.problem is None
    assert note(found).endswith("records")


def test_records_that_do_not_follow_from_each_other_are_refused(write_run: Write, told: Tell):
    folder = write_run(told((0.5, 0.4)))
    path = folder / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"".join(lines[2:]))
    with pytest.raises(FormatError, match=r"trial 0 must be running"):
        mirror(folder)


def test_every_trial_has_its_configuration_as_a_file_and_the_first_ones_as_notes(
    write_run: Write, told: Tell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_mirror, "MOST_NOTES", 1)
    folder = write_run(
        told((0.5,)),
        told((0.4,), params={"born.bond_dim": 3}),
        told((0.3,), params={"born.bond_dim": 5}),
    )
    found = mirror(folder)
    space = load_space(folder / "search.yaml")
    for trial in shown(found):
        (meta,) = [json.loads(value) for value in trial.system_attrs.values()]
        with found.files.open_reader(meta["artifact_id"]) as file:
            config = TrialConfig.model_validate(parse(file.read().decode(), meta["filename"]))
        assert config == space.configure(trial.params).model_copy(update={"seed": trial.number})
    assert "bond_dim: 5" in note(found, 2)
    assert note(found, 2).startswith("```yaml\n# trial 2 of night\n")
    # The second is neither one of the first nor the best.
    assert note(found, 1) == ""


def test_pictures_are_attached_and_the_many_are_thinned(write_run: Write, told: Tell):
    folder = write_run(told((0.5,)), told((0.4,)))
    pictures = folder / "checkpoints" / "trial-00001" / "pictures"
    pictures.mkdir(parents=True)
    for epoch in range(1, 41):
        (pictures / f"viz-gan-{epoch:05d}.png").write_bytes(PNG)
    (pictures / "viz-pre-00003.png").write_bytes(PNG)
    found = mirror(folder)
    attached = [json.loads(value) for value in shown(found)[1].system_attrs.values()]
    names = [meta["filename"] for meta in attached]
    assert names[:2] == ["trial-1.yaml", "viz-pre-00003.png"]
    assert names[-1] == "viz-gan-00040.png"
    assert len(names) == 1 + MOST_PICTURES
    with found.files.open_reader(attached[1]["artifact_id"]) as file:
        assert file.read() == PNG
    (pictures / "viz-pre-00003.png").unlink()
    with pytest.raises(ArtifactNotFound):
        found.files.open_reader(attached[1]["artifact_id"])


def test_a_picture_that_comes_after_the_last_record_of_its_trial_is_attached(write_run: Write, told: Tell):
    folder = write_run(told((0.5,)))
    found = mirror(folder)
    assert len(shown(found)[0].system_attrs) == 1
    pictures = folder / "checkpoints" / "trial-00000" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "viz-pre-00001.png").write_bytes(PNG)
    found.refresh()
    assert len(shown(found)[0].system_attrs) == 2


@pytest.mark.parametrize(
    ("break_it", "error", "words"),
    [
        (lambda folder: (folder / "search.yaml").unlink(), RunFolderError, "a run must be a folder with search.yaml"),
        (lambda folder: (folder / "records.jsonl").write_bytes(b""), RunFolderError, "has no whole line yet; wait"),
        (
            lambda folder: (folder / "records.jsonl").write_bytes(
                (folder / "records.jsonl").read_bytes().replace(b'"version":4', b'"version":9')
            ),
            FormatError,
            "has bmtune.records version 9; read it with the version of bmtune that wrote it",
        ),
    ],
)
def test_what_is_no_run_or_one_of_another_format_is_refused(
    write_run: Write, told: Tell, break_it: Callable[[Path], object], error: type[Exception], words: str
):
    folder = write_run(told((0.5,)))
    break_it(folder)
    with pytest.raises(error, match=words):
        mirror(folder)


def test_a_run_without_a_trial_is_shown(write_run: Write):
    found = mirror(write_run(ended=False))
    assert shown(found) == []
    assert found.best is None
    with pytest.raises(ValueError, match="no trial has a value yet"):
        found.storage.get_best_trial(found.storage.study_id)


@pytest.fixture
def served(write_run: Write, told: Tell) -> Iterator[Served]:
    with dashboard(write_run(told((0.5, 0.4)), told((0.3,), None), ended=False), Counting, refresh_s=0.05) as served:
        yield served


def ask(served: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    address = served.url.partition("/dashboard")[0] + path
    wanted = urllib.request.Request(address, method=method, headers=headers, data=b"{}" if method != "GET" else None)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(wanted, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_the_page_and_its_data_are_served_to_this_machine_only(served: Served):
    assert served.url.startswith("http://127.0.0.1:")
    assert ask(served, "/dashboard/studies/0")[0] == 200
    detail = json.loads(ask(served, "/api/studies/0?after=0")[2])
    assert detail["name"] == "night"
    assert detail["objective_names"] == ["loss"]
    assert [trial["values"] for trial in detail["best_trials"]] == [[0.3]]
    assert detail["note"]["body"].endswith(" records")
    assert detail["trials"][0]["note"]["body"].startswith("```yaml\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/studies/0"),
        ("POST", "/api/studies/0/rename"),
        ("PUT", "/api/studies/0/note"),
        ("POST", "/api/trials/1/tell"),
        ("POST", "/api/artifacts/0/1"),
        ("OPTIONS", "/api/studies/0"),
    ],
)
def test_nothing_can_be_changed(served: Served, method: str, path: str):
    status, _, body = ask(served, path, method)
    assert (status, json.loads(body)) == (403, {"reason": "this dashboard shows a run and changes nothing of it"})
    assert json.loads(ask(served, "/api/studies/0?after=0")[2])["name"] == "night"


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_page_under_another_name_is_not_answered(served: Served, name: str):
    assert ask(served, "/api/studies", Host=name)[0] == 403
    assert ask(served, "/api/studies", Host="localhost:7")[0] == 200
    assert ask(served, "/api/studies", Host="localhost")[0] == 200


def test_files_are_not_opened_to_pages_of_other_sites(served: Served):
    meta = json.loads(ask(served, "/api/studies/0?after=0")[2])["trials"][0]["artifacts"][0]
    status, headers, body = ask(served, f"/artifacts/0/0/{meta['artifact_id']}")
    assert (status, body.startswith(b"# trial 0 of night\n")) == (200, True)
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(served, "/artifacts/0/0/0123")[0] == 404


def test_what_is_recorded_meanwhile_is_shown(served: Served, write_run: Write, told: Tell):
    folder = served.mirror.files._folder
    with (folder / "records.jsonl").open("ab") as file:
        other = write_run(told((0.9,)), told((0.3, 0.2)), name="other", ended=False)
        file.writelines(map(to_line, read_records(other / "records.jsonl").records[-2:]))
    until = threading.Event()
    for _ in range(200):
        if shown(served.mirror)[1].values == [0.2]:
            break
        until.wait(0.05)
    assert shown(served.mirror)[1].values == [0.2]


def test_a_port_that_is_taken_is_refused_and_one_that_was_given_back_is_not(write_run: Write, told: Tell):
    folder = write_run(told((0.5,)))
    threads = threading.active_count()
    with dashboard(folder, Counting) as served:
        port = int(served.url.rpartition(":")[2].partition("/")[0])
        with (
            pytest.raises(DashboardError, match=f"--port must be a free one, but {port} cannot be used"),
            dashboard(folder, Counting, port),
        ):
            pass
    assert threading.active_count() == threads
    with dashboard(folder, Counting, port) as served:
        assert f":{port}/" in served.url
    assert os.listdir(folder)


SEVERAL = ("objective: {metric: loss}", "objective: {metric: [loss, acc], constraints: [loss <= 0.6]}")
"""How the space of these tests becomes one with two objectives and a constraint."""


def test_several_objectives_are_all_shown_and_what_breaks_a_constraint_is_marked(write_run: Write, told: Tell):
    header = {"others": (Objective(metric="acc", mode="max"),), "bounds": (Bound.model_validate(LOSS),)}
    trials = told((0.5, 0.4)), told((0.3,), "pruned"), told((0.9,)), told((), "failed"), told((0.2,), None)
    found = mirror(write_run(*trials, replaced=[SEVERAL], ended=False, **header))
    (study,) = found.storage.get_all_studies()
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.system_attrs["study:metric_names"] == ["loss", "acc"]
    trials = shown(found)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "RUNNING"]
    assert [trial.values for trial in trials] == [
        [0.4, pytest.approx(0.6)],
        [0.3, pytest.approx(0.7)],
        [0.9, pytest.approx(0.1)],
        None,
        [0.2, pytest.approx(0.8)],
    ]
    assert [all(beyond <= 0 for beyond in trial.constraints.values()) for trial in trials[:3]] == [True, True, False]


LOSS = {"metric": "loss", "relation": "<=", "limit": 0.6}
