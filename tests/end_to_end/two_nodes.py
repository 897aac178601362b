"""Searches on a Ray whose nodes stay, die, join and are drained, in a process of its own: `python two_nodes.py FOLDER`.

Each node has one processor, so each has one host. In `FOLDER/stay`, `FOLDER/removed`, `FOLDER/joined` and
`FOLDER/drained` they leave the run, and a file `nodes/NODE/SEED` for each node and trial that trained there, with a
letter for each epoch; in `FOLDER/doctor.json` lies what was found of the cluster before.
"""

import importlib.util
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.search import fleet
from bmtune.search.cluster_doctor import check_cluster
from bmtune.search.driver import Backend
from bmtune.search.driver import run_search
from bmtune.search.fleet import HostActor
from bmtune.search.packs import OneByOne
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.trainable import BornTrial


def shared() -> ModuleType:
    """What tests share; the processes of Ray cannot import it, so they get it by value."""
    spec = importlib.util.spec_from_file_location("shared", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["shared"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ray.cloudpickle.register_pickle_by_value(module)
    return module


SHARED: Any = shared()


class OnNode(SHARED.FakeTraining):
    """The fake training at its pace, which leaves the name of its node."""

    def advance(self) -> Any:
        folder = (
            Path(self.config.name.removeprefix("paced ")).parent / "nodes" / ray.get_runtime_context().get_node_id()
        )
        folder.mkdir(exist_ok=True)
        with (folder / str(self.config.seed)).open("a") as mark:
            mark.write("e")
        return super().advance()


class Apart(HostActor):
    """A host that sees no folder of the driver's."""

    def sees(self, path: str) -> bool:
        return False


class OnNodeTrial(BornTrial):
    make_training = OnNode
    packing = OneByOne()


class Watching:
    """A listener that changes the cluster once, as soon as so many nodes train and some epochs have come."""

    def __init__(self, folder: Path, training: int, change: Callable[[], object]) -> None:
        self.folder, self.training, self.change = folder, training, change
        self.epochs, self.changed = 0, False

    def on_record(self, record: Any) -> None:
        self.epochs += isinstance(record, Epoch)
        if not self.changed and self.epochs >= 40 and len(list((self.folder / "nodes").iterdir())) == self.training:
            self.changed = True
            self.change()


def search(folder: Path, cluster: Cluster, training: int, change: Callable[[], object], run: str = "") -> None:
    for name in ("nodes", "pids"):
        (folder / name).mkdir(parents=True)
    text = SHARED.SPACE.replace("name: plain", f"name: paced {folder / 'pids'}")
    text = text.replace("trials: 8, max_epochs: 9", "trials: 8, max_epochs: 40")
    (folder / "space.yaml").write_text(f"run: {{scheduler: none, report_every_s: 0{run}}}\n{text}")
    resolved = ResolvedSearch(load_space(folder / "space.yaml"), folder / "run", cluster.address, "hash")
    backend = Backend(OnNodeTrial, lambda config, cores: {"acc": 1.0})
    listener = Watching(folder, training, change)
    run_search(resolved, listener, backend=backend)
    assert listener.changed, "the cluster was changed while the search ran"


def drain(cluster: Cluster, node: Any) -> None:
    """What `ray drain-node` does; whoever calls it ends the node himself, which nobody does here."""
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = (time.time_ns() // 1_000_000) + 600_000
    accepted, why = GcsClient(address=cluster.address).drain_node(node.node_id, reason, "a test", deadline_ms)
    assert accepted, why


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        found = check_cluster(cluster.address, folder)
        (folder / "doctor.json").write_text(json.dumps([found.facts, found.findings]))
        search(folder / "stay", cluster, 2, lambda: None)
        search(folder / "removed", cluster, 2, lambda: cluster.remove_node(second, allow_graceful=False))
        # The node that joins does not see the folder of the run: what its trials write comes with their reports.
        fleet.HostActor = Apart
        nodes = []
        # Two trials a host at once: so some are left when the node has come.
        search(folder / "joined", cluster, 1, lambda: nodes.append(cluster.add_node(num_cpus=1)), ", pack: 2")
        fleet.HostActor = HostActor
        search(folder / "drained", cluster, 2, lambda: drain(cluster, nodes[0]))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
