"""Quarters of GPUs on two Ray nodes and on one: where trials train, and that they come to the same."""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

from bmtune.audit import audit
from bmtune.records import Epoch
from bmtune.records import TrialStarted
from bmtune.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Place(NamedTuple):
    node: str
    gpu: str
    first: float
    last: float


def searched(folder: Path, nodes: int) -> tuple[list[Place], dict[int, object], dict[tuple[int, int], float]]:
    """Where trials trained, their parameters, and the loss of each epoch."""
    # Ray's sockets have long names and the operating system allows 107 characters.
    with tempfile.TemporaryDirectory(prefix="bmtune-ray-", ignore_cleanup_errors=True) as temporary:
        script = Path(__file__).with_name("fake_gpus.py")
        done = subprocess.run(
            [sys.executable, str(script), str(folder), str(nodes)],
            env={**os.environ, "RAY_TMPDIR": temporary},
            capture_output=True,
            text=True,
            timeout=190,
        )
    assert done.returncode == 0, done.stderr
    marks = [path.read_text().split() for path in (folder / "places").iterdir()]
    places = [Place(node, gpu, float(first), float(last)) for node, gpu, first, last in marks]
    records = read_records(folder / "run" / "records.jsonl").records
    assert audit(records) == []
    params = {record.trial: dict(record.params) for record in records if isinstance(record, TrialStarted)}
    losses = {(record.trial, record.epoch): record.metrics["loss"] for record in records if isinstance(record, Epoch)}
    return places, params, losses


def at_once(places: list[Place]) -> int:
    """The most trials that were between their first and their last epoch at a time."""
    steps = sorted(chain(((place.first, 1) for place in places), ((place.last, -1) for place in places)))
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def test_quarters_of_gpus_on_two_nodes_are_all_used_none_too_often_and_results_are_those_of_one_node(
    tmp_path: Path,
) -> None:
    places, params, losses = searched(tmp_path / "two", 2)
    by_node, by_gpu = defaultdict(list), defaultdict(list)
    for place in places:
        by_node[place.node].append(place)
        by_gpu[place.node, place.gpu].append(place)
    assert sorted(gpu for _, gpu in by_gpu) == ["0", "0", "1", "1", "2", "2", "3", "3"]
    assert [at_once(found) for found in by_node.values()] == [16, 16]
    assert [at_once(found) for found in by_gpu.values()] == [4] * 8

    alone, same_params, same_losses = searched(tmp_path / "one", 1)
    assert {place.gpu for place in alone} == {"0", "1", "2", "3"}
    assert at_once(alone) == 16
    assert same_params == params
    # In other packs sums are added up in another order.
    assert same_losses == pytest.approx(losses, rel=1e-3)
