"""Two searches on a Ray of two nodes, in a process of its own: `python two_nodes.py FOLDER`.

Each node has one processor, so each has one host. During the second search the node without the driver is killed. In
`FOLDER/stay` and `FOLDER/removed` they leave the run, and an empty file `nodes/NODE/SEED` for each node and trial that
trained there.
"""

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
from ray.cluster_utils import Cluster

from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.search.driver import Backend
from bmtune.search.driver import run_search
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
        (folder / str(self.config.seed)).touch()
        return super().advance()


class OnNodeTrial(BornTrial):
    make_training = OnNode
    packing = OneByOne()


class Watching:
    """A listener that removes a node, where it is given one, as soon as both train and some epochs have come."""

    def __init__(self, folder: Path, cluster: Cluster, node: Any | None) -> None:
        self.folder, self.cluster, self.node = folder, cluster, node
        self.epochs = 0

    def on_record(self, record: Any) -> None:
        self.epochs += isinstance(record, Epoch)
        if self.node is not None and self.epochs >= 40 and len(list((self.folder / "nodes").iterdir())) == 2:
            node, self.node = self.node, None
            self.cluster.remove_node(node, allow_graceful=False)


def search(folder: Path, cluster: Cluster, node: Any | None = None) -> None:
    for name in ("nodes", "pids"):
        (folder / name).mkdir(parents=True)
    text = SHARED.SPACE.replace("name: plain", f"name: paced {folder / 'pids'}")
    text = text.replace("trials: 8, max_epochs: 9", "trials: 8, max_epochs: 40")
    (folder / "space.yaml").write_text(f"run: {{scheduler: none, report_every_s: 0}}\n{text}")
    resolved = ResolvedSearch(load_space(folder / "space.yaml"), folder / "run", cluster.address, "hash")
    backend = Backend(OnNodeTrial, lambda config, cores: {"acc": 1.0})
    listener = Watching(folder, cluster, node)
    run_search(resolved, listener, backend=backend)
    assert listener.node is None, "the node that was to be removed was removed"


def main(folder: Path) -> None:
    logging.disable(logging.WARNING)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        search(folder / "stay", cluster)
        search(folder / "removed", cluster, second)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
