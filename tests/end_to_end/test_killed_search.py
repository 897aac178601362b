"""A search with halving whose driver is killed while trials wait at rungs, and that is resumed."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from bmtune.audit import audit
from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import read_records
from bmtune.reports.lines import LineProgress
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve
from bmtune.search.state import SearchState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TRIALS, ETA = 6, 2
PATIENCE_S = 120.0
SPACE = """
trainer: classification
objective: {{metric: loss}}
budget: {{trials: 6, max_epochs: 40, eta: 2, grace: 5}}
base: {{name: paced {pids}, data: {{dataset: moons_small}}}}
run: {{halving: promote, seed: 5, report_every_s: 0}}
parameters:
  trainer.classification.optimizer.lr: {{type: float, low: 1e-4, high: 1e-1, log: true}}
"""


def records_of(folder: Path) -> tuple[Record, ...]:
    path = folder / "run" / "records.jsonl"
    return read_records(path).records if path.exists() and b"\n" in path.read_bytes() else ()


def waiting(records: tuple[Record, ...]) -> set[int]:
    """The trials that wait at a rung after these records."""
    found: set[int] = set()
    for record in records:
        if isinstance(record, Rung) and record.decision == "pause":
            found.add(record.trial)
        elif isinstance(record, TrialPromoted):
            found.discard(record.trial)
    return found


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of a search that was killed as soon as two trials waited; nothing of it lives any more."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "space.yaml").write_text(SPACE.format(pids=tmp_path / "pids"))
    command = [sys.executable, str(Path(__file__).with_name("going_on.py")), str(tmp_path)]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while len(waiting(records_of(tmp_path))) < 2:
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline, "the search did not get so far"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path("/proc", path.name).exists() for path in (tmp_path / "pids").iterdir()):
        assert time.monotonic() < deadline, "processes of a killed search trained on"
        time.sleep(0.1)
    return tmp_path


def test_trials_that_waited_when_the_driver_was_killed_are_promoted_when_the_run_goes_on(
    killed: Path, backend: Any
) -> None:
    from bmtune.search.driver import run_search

    before = records_of(killed)
    (killed / "run" / "study.db").unlink(missing_ok=True)
    said: list[str] = []
    run_search(resolve(SearchRequest(None, storage=killed, resume=True)), LineProgress(said.append), backend=backend)
    records = records_of(killed)
    assert records[: len(before)] == before
    assert audit(records) == []
    resumed = next(place for place, record in enumerate(records) if isinstance(record, RunResumed))
    assert any(isinstance(record, TrialPromoted) for record in records[resumed:])
    done = Counter(record.trial for record in records if isinstance(record, Epoch))
    epochs = {(record.trial, record.epoch) for record in records if isinstance(record, Epoch)}
    assert epochs == {(trial, epoch) for trial, last in done.items() for epoch in range(1, last + 1)}
    assert any(record.status == "completed" for record in records if isinstance(record, TrialFinished))
    state = SearchState.replay(load_space(killed / "run" / "search.yaml"), records)
    assert sorted(state.finished) == list(range(TRIALS))
    # Whoever waited when the driver was killed has its place among all that came to its rung, before and after.
    for rung, arrivals in state.arrivals.items():
        ordered = sorted(arrivals, key=lambda arrival: arrival.value)
        assert all(done[arrival.trial] > rung for arrival in ordered[: len(ordered) // ETA]), rung
    check_view(killed / "run" / "study.db")
    check_told(said, before)


def check_view(path: Path) -> None:
    """The view holds every trial once, and none that runs."""
    trials = optuna.load_study(study_name="run", storage=f"sqlite:///{path}").get_trials(deepcopy=False)
    assert all(trial.state.is_finished() for trial in trials)
    assert sorted(trial.user_attrs["trial"] for trial in trials) == list(range(TRIALS))


def check_told(said: list[str], before: tuple[Record, ...]) -> None:
    """One line says what there was, and no other speaks of it."""
    ended = sum(isinstance(record, TrialFinished) for record in before)
    paused = len(waiting(before))
    first = next(line for line in said if "going on" in line)
    assert f"{ended} finished, " in first
    assert f" {paused} paused, going on" in first
    assert said[0] == first
