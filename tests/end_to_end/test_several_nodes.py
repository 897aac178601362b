"""Searches on a Ray cluster with a folder in common, one of whose nodes goes down, joins, or is drained."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmtune.audit import audit
from bmtune.checkpoints import read_checkpoint
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import TrialFinished
from bmtune.records import read_records
from bmtune.search.doctor import check_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TRIALS, EPOCHS = 8, 40


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of both searches; they have a Ray of their own, in a process that ends with it."""
    folder = tmp_path_factory.mktemp("two-nodes")
    # Ray's sockets have long names and the operating system allows 107 characters.
    with tempfile.TemporaryDirectory(prefix="bmtune-ray-", ignore_cleanup_errors=True) as temporary:
        command = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), str(folder)]
        done = subprocess.run(
            command, env={**os.environ, "RAY_TMPDIR": temporary}, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        yield folder


def check_all_finished_once(folder: Path) -> None:
    records = read_records(folder / "run" / "records.jsonl").records
    assert audit(records) == []
    assert [record.status for record in records if isinstance(record, TrialFinished)] == ["completed"] * TRIALS
    epochs = Counter((record.trial, record.phase, record.epoch) for record in records if isinstance(record, Epoch))
    assert epochs == Counter((trial, "pre", epoch) for trial in range(TRIALS) for epoch in range(1, EPOCHS + 1))


def trained(folder: Path) -> list[set[str]]:
    """The trials that trained on each node."""
    return [{trial.name for trial in node.iterdir()} for node in (folder / "nodes").iterdir()]


def test_every_machine_is_asked_what_it_has(searched: Path) -> None:
    facts, findings = json.loads((searched / "doctor.json").read_text())
    assert findings == []
    assert facts[0].startswith("2 machines at ")
    assert sum("1 processors and 0 GPUs; Python 3" in text for text in facts) == 2
    assert sum("GiB free; sees the storage folder" in text for text in facts) == 2
    assert "would ask for 2 processes of 1 processor, and train 64 trials at once" in facts[-1]
    assert not list(searched.glob(".seen-*"))


def test_hosts_of_several_nodes_share_the_trials_of_a_search(searched: Path) -> None:
    check_all_finished_once(searched / "stay")
    one, other = trained(searched / "stay")
    assert len(one | other) == TRIALS
    assert not one & other


def test_all_trials_of_a_node_that_goes_down_finish_on_the_other_and_none_is_doubled(searched: Path) -> None:
    check_all_finished_once(searched / "removed")
    one, other = trained(searched / "removed")
    assert len(one | other) == TRIALS
    assert one & other, "some had begun on the node that went down"
    assert TRIALS in (len(one), len(other)), "all of them finished on the one that stayed"


def test_a_node_that_joins_trains_trials_of_a_search_that_runs(searched: Path) -> None:
    check_all_finished_once(searched / "joined")
    one, other = trained(searched / "joined")
    assert len(one | other) == TRIALS
    assert not one & other


def test_checkpoints_of_a_node_that_does_not_see_the_run_folder_are_there_all_the_same(searched: Path) -> None:
    folder = searched / "joined" / "run"
    # It reads every checkpoint that the records speak of, and the winner's.
    assert check_run(folder) == []
    for trial in range(TRIALS):
        assert read_checkpoint(folder / "checkpoints" / f"trial-{trial:05d}" / "last")[1]["budget"] == EPOCHS
    assert not list(folder.glob(".seen-*"))


def test_trials_of_a_node_that_is_drained_write_checkpoints_first_and_train_no_epoch_twice(searched: Path) -> None:
    check_all_finished_once(searched / "drained")
    one, other = trained(searched / "drained")
    assert one & other, "some had begun on the node that was drained"
    assert TRIALS in (len(one), len(other)), "all of them finished on the one that stayed"
    epochs: Counter[str] = Counter()
    for mark in (searched / "drained" / "nodes").glob("*/*"):
        epochs[mark.name] += len(mark.read_text())
    assert set(epochs.values()) == {EPOCHS}
    records = read_records(searched / "drained" / "run" / "records.jsonl").records
    told = [record.text for record in records if isinstance(record, Notice)]
    assert len(told) == len(one & other)
    assert all(text.endswith("elsewhere: its machine is about to leave the cluster") for text in told), told
