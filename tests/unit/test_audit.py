"""The audit finds what it is there to find."""

from collections.abc import Callable

import pytest

from bmtune.audit import audit
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted


def start(trial: int) -> Record:
    return TrialStarted(trial=trial, params={}, seed=0, time=0.0)


def epoch(trial: int, number: int, phase: str = "pre", budget: int | None = None) -> Record:
    return Epoch(
        trial=trial,
        phase=phase,
        epoch=number,
        budget=number if budget is None else budget,
        metrics={},
        seconds=0.0,
        eligible=True,
    )


def finish(trial: int) -> Record:
    return TrialFinished(trial=trial, status="completed", reason="done", time=0.0)


PAUSE = Rung(trial=0, rung=2, value=1.0, decision="pause")
PROMOTE = TrialPromoted(trial=0, rung=2, time=0.0)
END = RunFinished(reason="done", best=None, time=0.0)
SOUND: list[Record] = [
    start(0),
    epoch(0, 1),
    start(1),
    epoch(0, 2),
    PAUSE,
    Notice(text="x"),
    epoch(1, 1, "critic", 0),
    finish(1),
    PROMOTE,
    epoch(0, 3),
    epoch(0, 1, "re", 3),
    finish(0),
    END,
]


def test_a_sound_story_is_sound() -> None:
    assert audit(SOUND) == []


def test_a_run_that_was_broken_off_is_sound() -> None:
    assert all(audit(SOUND[:length]) == [] for length in range(len(SOUND)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda story: story.insert(4, epoch(0, 2)), "pre epoch 2 of trial 0 was recorded twice"),
        (lambda story: story.remove(epoch(0, 1)), "pre epochs 1 of trial 0 are missing"),
        (lambda story: story.insert(4, start(0)), "trial 0 was started twice"),
        (lambda story: story.insert(12, finish(0)), "trial 0 has a record (trial_finished) while it does not run"),
        (lambda story: story.insert(0, epoch(7, 1)), "trial 7 has a record (epoch) while it does not run"),
        (lambda story: story.insert(9, PAUSE), "trial 0 reached rung 2 twice"),
        (lambda story: story.remove(PAUSE), "trial 0 was promoted from rung 2, at which it did not wait"),
        (lambda story: story.remove(PROMOTE), "pre epoch 3 of trial 0 was trained while the trial was paused"),
        (lambda story: story.remove(finish(1)), "the run has ended, but trials [1] have not"),
        (lambda story: story.insert(10, epoch(0, 4, budget=2)), "pre epoch 4 of trial 0 has a smaller budget"),
    ],
)
def test_what_is_doubled_lost_or_out_of_order_is_told(change: Callable[[list[Record]], None], said: str) -> None:
    story = list(SOUND)
    change(story)
    assert any(sentence.startswith(said) for sentence in audit(story))
