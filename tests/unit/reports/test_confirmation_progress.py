import io

import pytest
from rich.console import Console

from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.confirmation.records import TrainingEnded
from bmtune.confirmation.verdict import Measured
from bmtune.confirmation.verdict import judge
from bmtune.records import Objective
from bmtune.records import RunFinished
from bmtune.records import RunStarted
from bmtune.reports.confirming import ConfirmationBar
from bmtune.reports.confirming import ConfirmationLines
from bmtune.reports.confirming import table
from bmtune.reports.lines import LineProgress
from bmtune.reports.live import LiveProgress

FID = Objective(metric="fid", mode="min")
STARTED = RunStarted(
    run="night", trainer="gan", dataset="moons", data_hash="0", objective=FID, trials=2, max_epochs=9, seed=0,
    bmtune="0", time=0.0,
)  # fmt: skip
ENDED = TrainingEnded(
    trial=17, seed=815, status="completed", reason="so", value=1.3e-4, epoch=80, metrics={"fid": 1.3e-4}, epochs=99,
    seconds=1.0, time=0.0,
)  # fmt: skip
FAILED = ENDED.model_copy(update={"status": "failed", "reason": "no luck", "value": None, "epoch": None})


def progress(latest: TrainingEnded | None = None) -> ConfirmationProgress:
    return ConfirmationProgress("fid", 3, 20, 512, 2000, latest)


@pytest.mark.parametrize(
    ("latest", "line"),
    [
        (ENDED, "3/20: trial 17, seed 815: fid 0.00013 at epoch 80"),
        (FAILED, "3/20: trial 17, seed 815: failed (no luck)"),
    ],
)
def test_a_log_has_a_line_for_each_training_that_ended(latest: TrainingEnded, line: str):
    said: list[str] = []
    with ConfirmationLines(said.append, lambda: 0.0) as lines:
        lines.on_confirming(progress())
        lines.on_confirming(progress(latest))
    assert [text.partition("] ")[2] for text in said] == ["starting Ray and its workers", line]
    searching: list[str] = []
    LineProgress(searching.append, lambda: 0.0).on_confirming(progress(latest))
    assert searching[0].endswith(f"confirming {line}")


def test_a_terminal_shows_how_far_all_trainings_are():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ConfirmationBar(console) as bar:
        bar.on_confirming(progress(ENDED))
        bar.on_confirming(progress())
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "3/20 trainings" in drawn
    assert "512/2000" in drawn
    assert "trial 17, seed 815" in drawn


def test_the_table_of_a_search_that_has_ended_says_how_far_its_confirmation_is():
    console = Console(file=io.StringIO(), width=120)
    live = LiveProgress(console, lambda: 0.0)
    for record in (STARTED, RunFinished(reason="all trials ended", best=None, time=1.0)):
        live.on_record(record)
    live.on_confirming(progress())
    with console.capture() as capture:
        console.print(live.render())
    assert "confirming: 3/20 trainings, 512 of at most 2000 epochs" in capture.get()


def test_the_table_tells_winner_base_and_failures():
    values = {17: (1.0, 1.2), 4: (2.0, None), 0: (3.0, 3.5)}
    found = judge(Measured(FID, (1, 2), values, 0, (17, 4)), [{"acc": 0.5}, {"acc": 1.0}])
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(table(found))
    drawn = capture.get()
    assert "17 (winner)" in drawn
    assert "0 (base)" in drawn
    assert "1 failed" in drawn
    assert "test acc" in drawn
    assert "0.75" in drawn
    assert "fid on validation rows, 2 fresh seeds" in drawn
