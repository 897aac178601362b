"""A host with its threads, in this process: what goes in as commands comes out as reports."""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.space import SearchSpace
from bmtune.search.host import Heard
from bmtune.search.host import Host
from bmtune.search.host import Said
from bmtune.search.packs import OneByOne
from bmtune.search.rounds import GoOn
from bmtune.search.rounds import Start
from bmtune.search.rounds import Stop
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport

pytestmark = pytest.mark.usefixtures("ctrl_c_kept")


@pytest.fixture
def ctrl_c_kept() -> Any:
    import signal

    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def make_task(make_space: Callable[..., SearchSpace], tmp_path: Path) -> Callable[..., str]:
    base = make_space().base

    def make(trial: int = 0, rungs: tuple[int, ...] = (3,), folder: Path = tmp_path) -> str:
        task = Task(trial=trial, config=base, run_folder=str(folder), rungs=rungs, report_every_s=1000.0)
        return task.model_dump_json()

    return make


def heard_until(host: Host, enough: Callable[[Heard], bool]) -> list[Heard]:
    found: list[Heard] = []
    while not any(map(enough, found)):
        new = host.hear({}, patience_s=30.0)
        assert new, "the host has something to tell"
        found += new
    return found


def epochs(heard: list[Heard]) -> list[int]:
    reports = [TrialReport.model_validate_json(entry.report) for entry in heard if entry.report is not None]
    return [epoch.epoch for report in reports for epoch in report.epochs]


def test_a_host_trains_to_the_rung_and_on_when_it_is_told(fake_training: Any, make_task: Callable[..., str]) -> None:
    host = Host(fake_training, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task())])
    assert epochs(heard_until(host, lambda heard: heard.waits)) == [1, 2, 3]
    host.tell(1, [GoOn(0)])
    found = heard_until(host, lambda heard: '"completed"' in (heard.report or ""))
    assert epochs(found) == [4, 5, 6, 7, 8, 9]
    host.tell(2, [Stop(0)])
    assert heard_until(host, lambda heard: heard.stopped)[-1].report is None


def test_commands_are_carried_out_in_their_order_however_they_come(
    fake_training: Any, make_task: Callable[..., str]
) -> None:
    host = Host(fake_training, OneByOne(), threads=1)
    host.tell(1, [Stop(0)])
    assert host.hear({}, patience_s=0.05) == []
    host.tell(0, [Start(0, make_task(rungs=(1,)))])
    assert heard_until(host, lambda heard: heard.stopped)


def test_training_goes_on_while_nobody_listens(fake_training: Any, make_task: Callable[..., str]) -> None:
    done = threading.Event()

    class Watched(fake_training):  # type: ignore[misc]
        def advance(self) -> Any:
            report = super().advance()
            if report.status.ended:
                done.set()
            return report

    host = Host(Watched, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task(rungs=()))])
    assert done.wait(30)
    assert epochs(heard_until(host, lambda heard: '"completed"' in (heard.report or ""))) == list(range(1, 10))


def test_a_slow_disk_holds_no_training_up_and_no_report_overtakes_its_checkpoint(
    fake_training: Any, make_task: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bmtune.search import trial_run

    released, trained, written = threading.Event(), threading.Event(), []

    def slow(folder: Path, tensors: Any, facts: Any, *, keep_previous: bool) -> None:
        assert released.wait(30)
        written.append(folder.name)

    class Watched(fake_training):  # type: ignore[misc]
        def advance(self) -> Any:
            report = super().advance()
            if report.status.ended:
                trained.set()
            return report

    monkeypatch.setattr(trial_run, "write_checkpoint", slow)
    host = Host(Watched, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task(rungs=()))])
    assert trained.wait(30)
    released.set()
    ended = heard_until(host, lambda heard: '"completed"' in (heard.report or ""))[-1]
    assert written == ["best", "last"]
    assert [entry.which for entry in TrialReport.model_validate_json(ended.report or "").checkpoints] == written


def test_a_disk_that_refuses_fails_its_trial(fake_training: Any, make_task: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    host = Host(fake_training, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task(folder=tmp_path / "file"))])
    report = TrialReport.model_validate_json(
        heard_until(host, lambda heard: '"failed"' in (heard.report or ""))[-1].report or ""
    )
    assert report.end is not None
    assert report.end.reason.startswith("NotADirectoryError")


class FullDisk:
    """A disk that refuses checkpoints until there is room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from bmtune.search import trial_run

        self.room = threading.Event()
        self.refused = threading.Event()
        self._really = trial_run.write_checkpoint
        monkeypatch.setattr(trial_run, "write_checkpoint", self.write)

    def write(self, *arguments: Any, **options: Any) -> None:
        if not self.room.is_set():
            self.refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        self._really(*arguments, **options)


def test_a_host_that_meets_a_full_disk_says_so_stops_training_and_loses_nothing(
    fake_training: Any, make_task: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bmtune import disk_space

    trained = []

    class Watched(fake_training):  # type: ignore[misc]
        def advance(self) -> Any:
            trained.append(self.epoch)
            return super().advance()

    disk = FullDisk(monkeypatch)
    host = Host(Watched, OneByOne(), threads=1)
    host._patience = disk_space.Patience(host._say, every_s=0.01)
    host.tell(0, [Start(lane, make_task(trial=lane, rungs=(1,))) for lane in range(6)])
    assert disk.refused.wait(30)
    (said,) = host.hear({}, patience_s=30.0)
    assert isinstance(said, Said)
    assert said.text.startswith("the disk is full: checkpoints of trials cannot be written in ")
    until = time.monotonic() + 30
    while len(trained) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    # Its lanes could go on, but do not until there is room.
    host.tell(6, [GoOn(lane) for lane in range(6)])
    time.sleep(0.2)
    assert len(trained) == 6
    disk.room.set()
    heard = []
    while len([entry for entry in heard if '"completed"' in (getattr(entry, "report", "") or "")]) < 6:
        heard += host.hear({}, patience_s=30.0)
    assert [entry.text.startswith("there is room again") for entry in heard if isinstance(entry, Said)] == [True]
    reports = [entry for entry in heard if isinstance(entry, Heard)]
    for lane in range(6):
        assert epochs([entry for entry in reports if entry.lane == lane]) == list(range(1, 10))


def test_a_lane_can_be_given_back_while_the_disk_is_full(
    fake_training: Any, make_task: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    host = Host(fake_training, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task(rungs=(1,)))])
    assert disk.refused.wait(30)
    host.tell(1, [Stop(0)])
    until = time.monotonic() + 30
    while host._rounds._lanes and time.monotonic() < until:
        time.sleep(0.01)
    assert not host._rounds._lanes
    disk.room.set()


def test_a_host_whose_device_is_lost_says_so_to_whoever_listens(
    fake_training: Any, make_task: Callable[..., str]
) -> None:
    class Broken(fake_training):  # type: ignore[misc]
        def advance(self) -> Any:
            raise RuntimeError("CUDA error: unspecified launch failure")

    host = Host(Broken, OneByOne(), threads=1)
    host.tell(0, [Start(0, make_task())])
    with pytest.raises(Exception, match="unspecified launch failure"):
        host.hear({}, patience_s=30.0)
