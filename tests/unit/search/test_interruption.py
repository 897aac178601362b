"""Signals to this very process, and a stand-in for its end."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmtune.errors import StoppedBySignalError
from bmtune.search import interruption as module
from bmtune.search.interruption import Interruption


class End:
    """Stands for the end of the process: remembers the exit code, and what was ended before."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.ended = 0
        self.left = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.left.set()

    def children(self, seen: set[int]) -> None:
        self.ended += 1


@pytest.fixture
def end() -> End:
    return End()


@pytest.fixture
def interruption(end: End) -> Iterator[Interruption]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Interruption(leave=end, end=end.children) as opened:
        yield opened
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    # Python runs a handler between two of its own steps.
    time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_what_is_going_on(interruption: Interruption, end: End, number: signal.Signals) -> None:
    interruption.advice = "go on with: x"
    with pytest.raises(StoppedBySignalError) as caught:
        send(number)
    assert (caught.value.signal, caught.value.advice) == (number, "go on with: x")
    assert interruption.signal is number
    assert end.codes == []


def test_it_is_no_exception_that_a_trial_could_catch() -> None:
    assert not issubclass(StoppedBySignalError, Exception)


def test_work_that_is_deferred_ends_by_itself(interruption: Interruption, end: End) -> None:
    done = []
    with interruption.deferred():
        send(signal.SIGTERM)
        done.append(interruption.is_requested)
    assert done == [True]
    assert end.codes == []
    with pytest.raises(StoppedBySignalError), interruption.deferred():
        pytest.fail("it began after the signal")


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGTERM, signal.SIGINT, 143), (signal.SIGINT, signal.SIGTERM, 130)],
)
def test_the_second_signal_of_whatever_kind_leaves_at_once(
    interruption: Interruption,
    end: End,
    capfd: pytest.CaptureFixture[str],
    first: int,
    second: int,
    code: int,
) -> None:
    interruption.advice = "go on with: x"
    with interruption.deferred():
        send(first)
        send(second)
        assert end.codes == [code]
    assert end.ended == 1
    assert capfd.readouterr().err == "\ninterrupted\ngo on with: x\n"


def test_a_signal_that_is_ignored_since_nohup_stays_ignored(end: End) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption(leave=end, end=end.children) as interruption:
            send(signal.SIGHUP)
            assert not interruption.is_requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_temporary_folders_go_with_a_search_that_is_left_at_once(interruption: Interruption, tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    interruption.remove_at_end(folder)
    interruption.leave()
    assert not folder.exists()


def test_rest_ends_with_a_signal(interruption: Interruption) -> None:
    interruption.rest(0.01)
    with interruption.deferred():
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(StoppedBySignalError):
            interruption.rest(30.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything comes a hundred times as soon."""
    for name in ("TRIALS_S", "STUCK_S", "WINNER_S", "ORDERLY_S"):
        monkeypatch.setattr(module, name, getattr(module, name) / 100)


@pytest.mark.usefixtures("impatient")
def test_deferred_work_that_takes_too_long_is_broken_off(interruption: Interruption, end: End) -> None:
    broken = True
    with interruption.deferred():
        send(signal.SIGINT)
        time.sleep(30)
        broken = False
    assert broken
    assert not end.codes


@pytest.mark.usefixtures("impatient")
def test_an_end_that_takes_too_long_is_left(interruption: Interruption, end: End) -> None:
    with pytest.raises(StoppedBySignalError):
        send(signal.SIGTERM)
    assert end.left.wait(30)
    assert end.codes == [143]


@pytest.mark.usefixtures("impatient")
def test_where_the_main_thread_hangs_another_one_does_what_must_not_be_missed(
    interruption: Interruption, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A call of Ray that hangs takes no notice of signals.
    deaf: list[int] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda thread, number: deaf.append(number))
    rescued = threading.Event()
    interruption.rescue = rescued.set
    interruption._deferred = True
    send(signal.SIGTERM)
    assert end.left.wait(30)
    interruption._deferred = False
    assert deaf == [signal.SIGINT]
    assert rescued.is_set()
    assert end.codes == [143]


def test_what_ends_in_time_is_returned_and_its_error_is_raised(interruption: Interruption) -> None:
    assert interruption.within(5.0, lambda: 7) == 7
    with interruption.deferred():
        send(signal.SIGINT)
        assert interruption.within(5.0, lambda: 7) == 7
        assert interruption.within(0.05, lambda: time.sleep(1)) is None
        with pytest.raises(ZeroDivisionError):
            interruption.within(5.0, lambda: 1 // 0)
