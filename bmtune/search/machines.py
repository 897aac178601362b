"""The machines of the connected Ray cluster, and those that its autoscaler may add."""

import json
import math
import re
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

import ray
import yaml

from bmtune.config.space_model import RunSettings
from bmtune.search.outlook import settled
from bmtune.search.room import Machine
from bmtune.search.room import Machines
from bmtune.search.room import check_room
from bmtune.search.room import need_of_host
from bmtune.search.room import need_of_trial
from bmtune.search.room import room_now

PROCESSES = Path("/proc")


class Growth(NamedTuple):
    """What an autoscaler may add.

    Attributes:
        kinds: Kinds of machines; empty where nobody tells.
        most: Machines of all kinds; None: nobody tells.
    """

    kinds: tuple[Machine, ...] = ()
    most: int | None = None


GROUP_LABEL = "ray.io/node-group"
"""Ray's label of a machine that an autoscaler, of `ray up` or of Kubernetes, has started."""

_STATUS_KEY = b"__autoscaling_status"
_BY_ITSELF = re.compile(r"node_[0-9a-f]{20,}")
"""What Ray calls the kind of a machine that no autoscaler has started."""


class ClusterMachines:
    """The machines of the connected cluster, as they are whenever it is called."""

    def __init__(self, *, may_grow: bool) -> None:
        """Looks for nothing yet.

        Args:
            may_grow: Whether to look for an autoscaler too; a cluster of one's own has none.
        """
        self._may_grow = may_grow
        self._growth: Growth | None = None

    def __call__(self) -> Machines:
        """The machines that are there now, and what the cluster may get."""
        leaving = frozenset(_leaving())
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        here = tuple(
            Machine(node.get("NodeManagerAddress", "this machine"), node["Resources"])
            for node in nodes
            if node.get("NodeID") not in leaving
        )
        if self._growth is None and self._may_grow:
            self._growth = _growth(nodes)
        if self._growth is None:
            return Machines(here, leaving=leaving)
        return Machines(here, self._growth.kinds, grows=True, most=self._growth.most, leaving=leaving)


def room_for_hosts(run: RunSettings) -> tuple[RunSettings, int]:
    """The settings, settled, and how many of their hosts the cluster has room for; one, where it has yet to grow.

    Raises:
        ResourceError: One fits on no machine that is there or that may come.
    """
    machines = ClusterMachines(may_grow=True)()
    run = settled(run, machines)
    check_room(machines, need_of_host(run), need_of_trial(run))
    return run, max(1, room_now(machines, need_of_host(run)))


def _leaving() -> Iterable[str]:
    """Ids of the machines that Ray was told to drain: an autoscaler, or `ray drain-node`, said that they will go."""
    # The public list of nodes does not say so, and the public API that does needs a dashboard.
    state: Any = ray._private.state.state
    found: Iterable[str] = getattr(state, "get_draining_nodes", dict)()
    return found


def _growth(nodes: Iterable[Mapping[str, Any]]) -> Growth | None:
    """What the cluster's autoscaler may add; None where there is none."""
    address = ray.get_runtime_context().gcs_address
    files = autoscaling_files(PROCESSES, address)
    return read_kinds(files) if files or _has_autoscaler(nodes, address) else None


def _has_autoscaler(nodes: Iterable[Mapping[str, Any]], address: str) -> bool:
    """Whether something adds machines to the cluster.

    Its second version labels the machines that it starts, the head too; its first one reports kinds by their names.
    """
    if any(node.get("Labels", {}).get(GROUP_LABEL) for node in nodes):
        return True
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    said = GcsClient(address=address).internal_kv_get(_STATUS_KEY, None)
    return has_kinds(said or b"{}")


def has_kinds(status: bytes) -> bool:
    """Whether the report of an autoscaler (JSON) names a kind of machine that it was configured with."""
    report = json.loads(status).get("autoscaler_report") or {}
    names = [
        *(report.get("active_nodes") or {}),
        *(report.get("idle_nodes") or {}),
        *report.get("pending_launches", {}),
    ]
    return any(not _BY_ITSELF.fullmatch(name) for name in names)


def autoscaling_files(processes: Path, address: str) -> list[Path]:
    """Configurations that a cluster's autoscaler was started with, where it is on this machine, the head.

    Args:
        processes: The folder in which the system lists processes.
        address: The cluster.
    """
    found = []
    for entry in processes.glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            # It has ended, or belongs to somebody else.
            continue
        monitor = any(word.endswith(("autoscaler/_private/monitor.py", "autoscaler/v2/monitor.py")) for word in words)
        if monitor and f"--gcs-address={address}" in words:
            found += [
                Path(word.partition("=")[2]).expanduser() for word in words if word.startswith("--autoscaling-config=")
            ]
    return found


def read_kinds(files: Iterable[Path]) -> Growth:
    """What the first configuration that can be read says."""
    for path in files:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return _kinds(content)
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError):
            # Whoever may not read it, or not understand it, waits for what the cluster becomes.
            continue
    return Growth()


def _kinds(content: Mapping[str, Any]) -> Growth:
    most = int(content.get("max_workers", 0)) or None
    head = content.get("head_node_type")
    kinds = []
    for name, kind in content["available_node_types"].items():
        number = int(kind.get("max_workers", 0 if name == head else most or 0))
        if number:
            resources = {key: float(amount) for key, amount in (kind.get("resources") or {}).items()}
            # What the provider finds out by itself is not in the file, so anything may be there.
            kinds.append(Machine(name, resources or {"CPU": math.inf, "GPU": math.inf}, number))
    return Growth(tuple(kinds), most)
