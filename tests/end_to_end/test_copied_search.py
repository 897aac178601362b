"""A search with a copy elsewhere whose driver is killed, and whose own folder is lost: the copy goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bmtune.audit import audit
from bmtune.records import CheckpointWritten
from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.records import read_records
from bmtune.reports.lines import LineProgress
from bmtune.search.copy_here import prepare
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TRIALS = 6
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


def records_of(run: Path) -> tuple[Record, ...]:
    path = run / "records.jsonl"
    return read_records(path).records if path.exists() else ()


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """The folder of a search that was killed as soon as its copy told of some checkpoints; only the copy is left."""
    (tmp_path / "pids").mkdir()
    (tmp_path / "space.yaml").write_text(SPACE.format(pids=tmp_path / "pids"))
    address = (tmp_path / "far").as_uri()
    command = [sys.executable, str(Path(__file__).with_name("going_on.py")), str(tmp_path), address]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while sum(isinstance(record, CheckpointWritten) for record in records_of(tmp_path / "far" / "run")) < 6:
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        assert time.monotonic() < deadline, "the search did not get so far"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path("/proc", path.name).exists() for path in (tmp_path / "pids").iterdir()):
        assert time.monotonic() < deadline, "processes of a killed search trained on"
        time.sleep(0.1)
    shutil.rmtree(tmp_path / "run")
    return tmp_path


def test_a_run_of_which_only_the_copy_is_left_goes_on_from_it(lost: Path, backend: Any) -> None:
    from bmtune.search.driver import run_search

    copy = lost / "far" / "run"
    before = records_of(copy)
    for record in before:
        if isinstance(record, CheckpointWritten):
            assert (copy / record.path / "checkpoint.json").exists()
    request = SearchRequest(None, storage=lost, name="run", resume=True, copy_at=(lost / "far").as_uri())
    prepare(request)
    assert records_of(lost / "run") == before
    with LineProgress(print) as listener:
        outcome = run_search(resolve(request), listener, backend=backend)
    records = records_of(lost / "run")
    assert records[: len(before)] == before
    assert audit(records) == []
    assert sum(isinstance(record, TrialFinished) for record in records) == TRIALS
    assert outcome.notice is not None
    assert f"a copy of the run is at {lost.as_uri()}/far/run" in outcome.notice
    for name in ("records.jsonl", "search.yaml", "best.yaml"):
        assert (copy / name).read_bytes() == (lost / "run" / name).read_bytes()
    assert not (copy / "study.db").exists()
