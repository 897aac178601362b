import io
import threading

import pytest
from rich.console import Console

from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.reports.live import LiveProgress


def console(width: int = 120, height: int = 24, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, height=height)


def written(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def text(live: LiveProgress, target: Console) -> str:
    with target.capture() as capture:
        target.print(live.render())
    return capture.get()


def records(num_running: int = 3) -> list[Record]:
    found: list[Record] = [
        RunStarted(
            run="night",
            trainer="gan",
            dataset="moons",
            data_hash="0",
            objective=Objective(metric="fid", mode="min"),
            trials=8,
            max_epochs=9,
            seed=3,
            bmtune="0.1.0",
            time=0.0,
        )
    ]
    for trial in range(num_running + 2):
        metrics = {"fid": 1.0 / (trial + 1), "acc": 0.5, "train/g_loss": 9.0}
        found.append(TrialStarted(trial=trial, params={"born.bond_dim": 6}, seed=0, time=0.0))
        found.append(
            Epoch(
                trial=trial,
                phase="gan",
                epoch=4,
                budget=4,
                metrics=metrics,
                seconds=0.5,
                eligible=True,
                best_epoch=4,
                best_metrics=metrics,
            )
        )
    found.append(TrialFinished(trial=0, status="pruned", reason="rung 3", time=1.0))
    found.append(TrialFinished(trial=1, status="failed", reason="loss is not finite", time=1.0))
    return found


def rows_of(drawn: str) -> list[str]:
    """The rows of the table, below its header."""
    lines = drawn.splitlines()
    return lines[1 + next(place for place, line in enumerate(lines) if line.split()[:1] == ["trial"]) :]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def live_with(target: Console, clock: Clock, found: list[Record]) -> LiveProgress:
    live = LiveProgress(target, clock)
    for record in found:
        live.on_record(record)
    clock.now = 10.0
    return live


def test_before_the_first_record_the_terminal_says_what_takes_the_time(clock: Clock):
    target = console()
    assert "starting Ray" in text(live_with(target, clock, []), target)


def test_the_head_counts_trials_epochs_and_time(clock: Clock):
    target = console(width=160)
    head, best = text(live_with(target, clock, records()), target).splitlines()[:2]
    assert head.rstrip() == ("night: 2/8 trials, 3 running, 1 pruned, 1 failed, 0.5 epochs/s, 10 s, about 30 s left")
    assert best.rstrip() == "best so far: trial 4, fid 0.2, acc 0.5 at epoch 4"


def test_the_head_counts_paused_and_promoted_trials_and_the_table_leaves_paused_ones_out(clock: Clock):
    target = console(width=160)
    found = [
        *records(),
        *(Rung(trial=trial, rung=4, value=1.0, decision="pause") for trial in (2, 3)),
        TrialPromoted(trial=3, rung=4, time=1.0),
    ]
    drawn = text(live_with(target, clock, found), target)
    assert "3/8 trials, 2 running, 1 paused, 1 promoted later, 1 pruned, 1 failed" in drawn.splitlines()[0]
    assert [row.split()[0] for row in rows_of(drawn)] == ["3", "4"]


def test_the_table_has_a_row_for_each_running_trial_and_for_no_other(clock: Clock):
    target = console()
    rows = rows_of(text(live_with(target, clock, records()), target))
    assert [row.split()[:4] for row in rows] == [
        [str(trial), "gan", "4/9", f"{1 / (trial + 1):.4g}"] for trial in (2, 3, 4)
    ]
    assert all("acc 0.5" in row and "train/" not in row for row in rows)


@pytest.mark.parametrize(("width", "more"), [(120, "45 more"), (40, "48 more")])
def test_more_trials_than_lines_are_counted_instead_of_drawn(clock: Clock, width: int, more: str):
    target = console(width=width, height=12)
    drawn = text(live_with(target, clock, records(num_running=50)), target)
    assert len(drawn.splitlines()) < 12
    assert more in drawn


@pytest.mark.parametrize("width", [20, 40, 60, 71])
def test_a_narrow_terminal_keeps_trial_epoch_and_best_within_its_width(clock: Clock, width: int):
    target = console(width=width)
    lines = text(live_with(target, clock, records()), target).splitlines()
    assert all(len(line) <= width for line in lines)
    assert any(line.split() == ["2", "4/9", "0.3333"] for line in lines)


def test_the_best_value_is_told_with_the_one_before_it_and_when_it_came(clock: Clock):
    target = console(width=160)
    live = live_with(target, clock, records())
    text(live, target)
    better = {"fid": 0.1, "acc": 0.6}
    live.on_record(
        Epoch(
            trial=2,
            phase="gan",
            epoch=5,
            budget=5,
            metrics=better,
            seconds=0.5,
            eligible=True,
            best_epoch=5,
            best_metrics=better,
        )
    )
    clock.now = 20.0
    text(live, target)
    clock.now = 32.0
    drawn = text(live, target).splitlines()
    assert drawn[1].rstrip() == "best so far: trial 2, fid 0.1, acc 0.6 at epoch 5 (before: 0.2, 12 s ago)"
    bar, course = next(line for line in drawn if " to " in line).split(maxsplit=1)
    assert set(bar) == {"━"}
    assert course.split() == ["▁" * 26 + "█" * 6, "0.2", "to", "0.1"] or course.endswith("0.2 to 0.1")


def test_what_most_trials_fail_of_is_told(clock: Clock):
    target = console(width=60)
    failures = [
        record for trial in (2, 3) for record in [TrialFinished(trial=trial, status="failed", reason="burst", time=2.0)]
    ]
    drawn = text(live_with(target, clock, [*records(), *failures]), target)
    assert "failed: 2 x burst" in drawn
    assert "failed:" not in text(live_with(target, clock, records()[:3]), target)


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ((), "3 running, "),
        (((8, 10), (3, 10)), "3 running in lanes 8/10 3/10, "),
        (((8, 10),) * 5, "3 running in 40/50 lanes of 5 processes, "),
    ],
)
def test_the_head_tells_how_full_the_processes_are(clock: Clock, lanes: tuple[tuple[int, int], ...], words: str):
    target = console(width=160)
    live = live_with(target, clock, records())
    live.on_lanes(lambda: lanes)
    assert words in text(live, target).splitlines()[0]


def test_without_block_characters_the_course_is_drawn_in_ascii(clock: Clock):
    target = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=False, width=120, height=24)
    drawn = text(live_with(target, clock, records()), target)
    assert drawn.isascii()
    assert " to " in drawn


def test_a_run_that_goes_on_says_what_there_was(clock: Clock):
    target = console()
    live = LiveProgress(target, clock)
    live.catch_up(records())
    live.on_record(RunResumed(trials=8, bmtune="0", time=1.0))
    clock.now = 10.0
    shown = text(live, target)
    assert "resumed with 2 finished, 3 running, 0 paused, going on" in shown
    # Epochs of before are none of this process's speed, and say nothing of the time that is left.
    assert "0.0 epochs/s" in shown
    assert " left" not in shown


def test_the_end_replaces_the_table(clock: Clock):
    target = console()
    end = RunFinished(reason="all trials ended", best=4, time=3.0)
    drawn = text(live_with(target, clock, [*records(), end]), target)
    assert "finished (all trials ended): 5 trials" in " ".join(drawn.split())
    assert "4/9" not in drawn


def test_no_color_is_respected(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    green = "\x1b[32m"
    coloured = console(terminal=True)
    assert green in text(live_with(coloured, clock, records()), coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = console(terminal=True)
    assert green not in text(live_with(plain, clock, records()), plain)


def test_a_context_draws_the_last_state_and_stops_its_thread(clock: Clock):
    target = console(terminal=True)
    before = set(threading.enumerate())
    with LiveProgress(target, clock) as live:
        for record in records():
            live.on_record(record)
    assert "best so far: trial 4" in written(target)
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)


def test_a_flood_of_records_is_not_a_flood_of_output(clock: Clock):
    target = console(terminal=True)
    with LiveProgress(target, clock) as live:
        for _ in range(200):
            for record in records():
                live.on_record(record)
    assert written(target).count("best so far") <= 12
