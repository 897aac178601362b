"""Searches whose driver is killed in the middle and that are resumed, each in processes with a Ray of their own."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import Metrics
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.search.state import SearchState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SPACE = """
trainer: classification
objective: {{metric: loss}}
budget: {{trials: 6, max_epochs: 40, eta: 2, grace: 5}}
base: {{name: paced {pids}, data: {{dataset: moons_small}}}}
run: {run}
parameters:
  trainer.classification.optimizer.lr: {{type: float, low: 1e-4, high: 1e-1, log: true}}
"""


def records_of(folder: Path) -> tuple[Record, ...]:
    path = folder / "run" / "records.jsonl"
    return read_records(path).records if path.exists() and b"\n" in path.read_bytes() else ()


def begin(folder: Path, run: str) -> subprocess.Popen[str]:
    (folder / "pids").mkdir()
    (folder / "space.yaml").write_text(SPACE.format(pids=folder / "pids", run=run))
    return search(folder)


def search(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("going_on.py")), str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_when(process: subprocess.Popen[str], folder: Path, ripe: Callable[[tuple[Record, ...]], bool]) -> None:
    """Kills the driver as soon as its records are such, and waits until its trials have gone with it."""
    deadline = time.monotonic() + 120
    while not ripe(records_of(folder)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the search did not get so far"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while any(alive(int(path.name)) for path in (folder / "pids").iterdir()):
        assert time.monotonic() < deadline, "processes of a killed search trained on"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return said


def epochs(records: tuple[Record, ...]) -> dict[tuple[int, str, int], Metrics]:
    """The metrics of every epoch, each of which is there once."""
    found = [((entry.trial, entry.phase, entry.epoch), entry) for entry in records if isinstance(entry, Epoch)]
    assert set(Counter(key for key, _ in found).values()) == {1}
    return {key: entry.metrics for key, entry in found}


def check_whole(folder: Path, records: tuple[Record, ...]) -> None:
    """What holds for every run that was resumed and has ended."""
    assert [record.kind for record in records if record.kind in ("run_started", "run_resumed", "run_finished")] == [
        "run_started",
        "run_resumed",
        "run_finished",
    ]
    ends = [record.trial for record in records if isinstance(record, TrialFinished)]
    assert sorted(ends) == list(range(6))
    state = SearchState.replay(load_space(folder / "run" / "search.yaml"), records)
    assert not state.running
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'run' / 'study.db'}")
    shown = optuna.load_study(study_name="run", storage=storage).get_trials(deepcopy=False)
    assert all(trial.state.is_finished() for trial in shown)
    assert sorted(trial.user_attrs["trial"] for trial in shown) == list(range(6))


def test_a_killed_search_comes_to_what_an_undisturbed_one_comes_to(tmp_path: Path) -> None:
    run = "{scheduler: none, sampler: random, seed: 5, checkpoint_every: 3, report_every_s: 0}"
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    finish(begin(calm, run))
    kill_when(begin(killed, run), killed, lambda records: any(isinstance(entry, TrialFinished) for entry in records))
    before = records_of(killed)
    said = finish(search(killed, "--resume"))
    records, undisturbed = records_of(killed), records_of(calm)
    assert records[: len(before)] == before
    check_whole(killed, records)
    assert epochs(records) == epochs(undisturbed)
    assert configurations(records) == configurations(undisturbed)
    assert final(records) == final(undisturbed)
    started = sum(isinstance(entry, TrialStarted) for entry in before)
    ended = sum(isinstance(entry, TrialFinished) for entry in before)
    assert f"{ended} finished, {started - ended} running, 0 paused, going on" in said
    # No flood of what was before: few lines, none of an old epoch.
    assert f"1/6: trial {next(entry.trial for entry in before if isinstance(entry, TrialFinished))} " not in said


def configurations(records: tuple[Record, ...]) -> list[tuple[int, object, int]]:
    return [(entry.trial, entry.params, entry.seed) for entry in records if isinstance(entry, TrialStarted)]


def final(records: tuple[Record, ...]) -> tuple[object, ...]:
    ends = sorted((entry for entry in records if isinstance(entry, TrialFinished)), key=lambda entry: entry.trial)
    won = next(entry for entry in records if isinstance(entry, RunFinished))
    return (
        *((entry.status, entry.reason, entry.value, entry.best_epoch) for entry in ends),
        won.best,
        won.test_metrics,
    )


def test_trials_that_paused_before_the_kill_are_promoted_after_it(tmp_path: Path) -> None:
    first = begin(tmp_path, "{halving: promote, seed: 5, report_every_s: 0}")
    kill_when(first, tmp_path, lambda records: sum(isinstance(entry, Rung) for entry in records) >= 3)
    before = records_of(tmp_path)
    paused = {entry.trial for entry in before if isinstance(entry, Rung) and entry.decision == "pause"}
    paused -= {entry.trial for entry in before if isinstance(entry, TrialPromoted)}
    assert paused
    finish(search(tmp_path, "--resume"))
    records = records_of(tmp_path)
    check_whole(tmp_path, records)
    resumed = next(place for place, entry in enumerate(records) if isinstance(entry, RunResumed))
    promoted = {entry.trial for entry in records[resumed:] if isinstance(entry, TrialPromoted)}
    assert paused & promoted
    for trial in range(6):
        done = [epoch for number, _, epoch in epochs(records) if number == trial]
        assert done == list(range(1, len(done) + 1))
