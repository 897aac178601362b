"""The comparison of whole searches compares what it says; how fast either is, is not a test's business."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import commands
from benchmarks import pack_search
from benchmarks import rival
from bmtune.config.space import load_space

BUSY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; held = bytes(range(256)) * 400_000; time.sleep(0.6)"])
until = time.process_time() + 0.3
while time.process_time() < until:
    pass
print("the mark", flush=True)
child.wait()
"""

FORGETFUL = """
import subprocess, time
subprocess.Popen(["sleep", "0.8"], stdout=subprocess.DEVNULL)
time.sleep(0.3)
"""


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "LOOK_S", 0.05)
    monkeypatch.setattr(commands, "END_S", 0.1)


def test_a_command_is_watched_with_the_processes_that_it_starts(tmp_path: Path):
    watched = commands.watch((sys.executable, "-c", BUSY), tmp_path, "mark")
    assert watched.lines == ("the mark",)
    assert 0.3 <= watched.first < watched.seconds
    assert watched.cpu >= 0.2
    assert watched.memory > 100e6
    assert watched.trained == 0, "no actor of Ray was there"


def test_a_command_that_fails_is_an_error(tmp_path: Path):
    with pytest.raises(RuntimeError, match="exit code 3"):
        commands.watch((sys.executable, "-c", "raise SystemExit(3)"), tmp_path, "mark")


def test_a_process_that_outlives_its_command_is_an_error(tmp_path: Path):
    with pytest.raises(RuntimeError, match="still there"):
        commands.watch((sys.executable, "-c", FORGETFUL), tmp_path, "mark")


# Tensorkrowch indexes with a list, which torch deprecates; the rival is measured as it is.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_the_rival_learns_and_its_actor_takes_trial_after_trial():
    trial = rival.TensorkrowchTrial(rival.START)
    assert trial.reset_config({"lr": 5e-3, "init_std": 1e-3})
    found = [trial.step() for _ in range(3)]
    assert found[-1]["acc"] > 0.95
    assert found[-1]["loss"] < found[0]["loss"]


def test_both_sides_search_the_same_ranges_from_the_same_start_at_the_same_sizes(tmp_path: Path):
    file = tmp_path / "space.yaml"
    file.write_text(pack_search.space(12, 100))
    space = load_space(file)
    dimensions = {path.rpartition(".")[2]: (one.low, one.high) for path, one in space.parameters}
    assert dimensions == rival.RANGES
    assert {path.rpartition(".")[2]: value for path, value in space.base_params().items()} == rival.START
    assert (space.base.born.physical_dim, space.base.born.bond_dim) == (rival.PHYSICAL_DIM, rival.BOND_DIM)
    assert space.base.trainer.classification.batch_size == rival.BATCH_SIZE
    assert space.base.trainer.classification.patience == 100
