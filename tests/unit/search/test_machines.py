"""What Ray says of a cluster, read; the machines themselves are in end_to_end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bmtune.search.room import Machine

# Importing Ray takes a second.
pytestmark = pytest.mark.slow

KINDS = """
max_workers: 5
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  spot: {resources: {CPU: 8, GPU: 4}, max_workers: 3}
  other: {resources: {CPU: 2}}
head_node_type: head
"""


@pytest.mark.parametrize(
    ("report", "found"),
    [
        ({}, False),
        ({"autoscaler_report": None}, False),
        ({"autoscaler_report": {"active_nodes": {"node_" + 56 * "a": 1}, "pending_launches": {}}}, False),
        ({"autoscaler_report": {"active_nodes": {"ray.head.default": 1}}}, True),
        ({"autoscaler_report": {"active_nodes": {}, "pending_launches": {"spot": 2}}}, True),
    ],
)
def test_the_report_of_an_autoscaler_names_kinds_of_machines(report: dict[str, Any], found: Any) -> None:
    from bmtune.search.machines import has_kinds

    assert has_kinds(json.dumps(report).encode()) is found


def test_kinds_of_machines_are_those_of_the_autoscalers_configuration(tmp_path: Path) -> None:
    from bmtune.search.machines import autoscaling_files
    from bmtune.search.machines import read_kinds

    (tmp_path / "cluster.yaml").write_text(KINDS)
    monitor = [sys.executable, "/x/ray/autoscaler/v2/monitor.py"]
    for number, words in enumerate(
        (
            ["bash"],
            [*monitor, "--gcs-address=10.0.0.1:6379", f"--autoscaling-config={tmp_path}/cluster.yaml"],
            [*monitor, "--gcs-address=10.0.0.2:6379", "--autoscaling-config=/of/another/cluster.yaml"],
            [*monitor, "--gcs-address=10.0.0.1:6379"],
        )
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes("\0".join(words).encode())
    files = autoscaling_files(tmp_path, "10.0.0.1:6379")
    assert files == [tmp_path / "cluster.yaml"]
    kinds, most = read_kinds(files)
    assert kinds == (Machine("spot", {"CPU": 8.0, "GPU": 4.0}, 3), Machine("other", {"CPU": 2.0}, 5))
    assert most == 5


@pytest.mark.parametrize("text", ["[1", "a: 1", "available_node_types: {a: 3}", "available_node_types: [a]"])
def test_a_configuration_that_says_nothing_is_no_error(tmp_path: Path, text: str) -> None:
    from bmtune.search.machines import read_kinds

    (tmp_path / "cluster.yaml").write_text(text)
    assert read_kinds([tmp_path / "nowhere.yaml", tmp_path / "cluster.yaml"]) == ((), None)


def test_a_node_that_is_drained_is_known_to_ray_by_the_name_that_is_asked() -> None:
    import ray

    assert callable(ray._private.state.state.get_draining_nodes)
