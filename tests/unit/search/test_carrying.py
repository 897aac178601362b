"""Trials on machines that do not see the run folder: what travels, and that they go on as if they saw it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.space import SearchSpace
from bmtune.disk_space import Patience
from bmtune.errors import RunFolderError
from bmtune.search.carrying import Apart
from bmtune.search.carrying import SharedFolder
from bmtune.search.carrying import put_files
from bmtune.search.carrying import saved_files
from bmtune.search.packs import OneByOne
from bmtune.search.rounds import GoOn
from bmtune.search.rounds import Rounds
from bmtune.search.rounds import Start
from bmtune.search.rounds import Told
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def task(make_space: Callable[..., SearchSpace], tmp_path: Path) -> Task:
    return Task(trial=3, config=make_space().base, run_folder=str(tmp_path / "run"), rungs=(3,), report_every_s=1000.0)


def rounds(fake_training: Any, told: list[Told]) -> Rounds:
    return Rounds(fake_training, OneByOne(), told.append, lambda: 0.0)


def arrived(task: Task, told: list[Told]) -> list[TrialReport]:
    """The reports, after what travels with them has come to the run folder; forgets them."""
    reports = []
    for entry in told:
        assert entry.due is not None
        report = entry.due.carry_out()
        assert entry.files_of is not None
        put_files(Path(task.run_folder), entry.files_of(report))
        reports.append(report)
    told.clear()
    return reports


def test_checkpoints_come_with_the_report_that_speaks_of_them_and_a_trial_goes_on_elsewhere(
    fake_training: Any, task: Task
) -> None:
    told: list[Told] = []
    first = rounds(fake_training, told)
    first.apply(Start(0, task.model_dump_json(), saved_files(task)))
    for _ in range(3):
        first.round(lambda: None)
    assert not Path(task.run_folder).exists(), "it works elsewhere"
    reports = arrived(task, told)
    folder = Path(task.run_folder)
    for checkpoint in reports[-1].checkpoints:
        read_checkpoint(folder / checkpoint.path)
    assert read_checkpoint(folder / task.checkpoint_path("last"))[1]["budget"] == 3

    # Another machine, which has seen nothing of it.
    second = rounds(fake_training, told)
    second.apply(Start(0, task.model_dump_json(), saved_files(task)))
    assert [epoch.epoch for report in arrived(task, told) for epoch in report.epochs] == [1, 2, 3]
    second.apply(GoOn(0))
    for _ in range(6):
        second.round(lambda: None)
    assert [epoch.epoch for report in arrived(task, told) for epoch in report.epochs] == [4, 5, 6, 7, 8, 9]
    assert read_checkpoint(folder / task.checkpoint_path("best"))[1]["epoch"] == 9
    # Two are kept, as where the folder is seen.
    assert (folder / "checkpoints" / "trial-00003" / ".last.previous").is_dir()


def test_pictures_travel_once(task: Task) -> None:
    apart = Apart()
    inside = apart.take(task, ())
    place = Path(inside.run_folder, "checkpoints", "trial-00003", "pictures")
    place.mkdir(parents=True)
    (place / "viz-pre-00001.png").write_bytes(b"a picture")
    files = apart.files_of(inside, TrialReport())
    assert files == (("checkpoints/trial-00003/pictures/viz-pre-00001.png", (b"a picture",)),)
    assert apart.files_of(inside, TrialReport()) == ()
    put_files(Path(task.run_folder), files)
    assert Path(task.run_folder, files[0][0]).read_bytes() == b"a picture"


def test_what_is_left_of_an_earlier_visit_is_not_gone_on_from(task: Task, fake_training: Any) -> None:
    told: list[Told] = []
    host = rounds(fake_training, told)
    for _ in range(2):
        # The driver has nothing of the trial: it was told to begin again.
        host.apply(Start(0, task.model_dump_json(), ()))
        host.round(lambda: None)
        assert [epoch.epoch for entry in told for epoch in entry.due.epochs] == [1]  # type: ignore[union-attr]
        told.clear()


def test_pretraining_of_the_run_is_kept_in_the_machines_own_folder_and_that_of_several_runs_where_it_is(
    task: Task, tmp_path: Path
) -> None:
    apart = Apart()
    own = apart.take(task.model_copy(update={"pre_cache": f"{task.run_folder}/pretraining"}), ())
    assert own.pre_cache == f"{own.run_folder}/pretraining"
    others = str(tmp_path / "cache")
    assert apart.take(task.model_copy(update={"pre_cache": others}), ()).pre_cache == others


def test_who_sees_the_mark_sees_the_folder(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path, Patience(print))
    assert not list(tmp_path.glob(".seen-*"))
    assert shared.mark() == shared.mark()
    assert shared.mark().exists()
    shared.close()
    assert not list(tmp_path.glob(".seen-*"))


def test_nothing_that_travels_is_put_outside_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        put_files(tmp_path / "run", (("../elsewhere", (b"",)),))
    assert not (tmp_path / "elsewhere").exists()
