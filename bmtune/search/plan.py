"""How many trials run at once, and in how many processes: arithmetic over the settings and the room that there is."""

import math
from dataclasses import dataclass

from bmtune.config.space_model import RunSettings

MOST_LANES = 32
"""Trials that one host takes by itself."""

FEWEST_AT_ONCE = 10
"""Trials at once by themselves, where a quarter of all would be fewer."""


@dataclass(frozen=True)
class HostPlan:
    """How many hosts a search has, and how large they are.

    Attributes:
        hosts: Most hosts at once.
        lanes: Trials of one host at once.
        concurrent: Trials of the search at once.
        cpus: Processors, and threads, of a host.
        gpus: GPUs of a host, whole ones.
    """

    hosts: int
    lanes: int
    concurrent: int
    cpus: int
    gpus: int


def whole_gpus(run: RunSettings) -> int:
    """GPUs of a host: trials that share a GPU share a host."""
    return math.ceil(run.gpus_per_trial)


def plan_hosts(run: RunSettings, trials: int, room: int, *, grows: bool = False) -> HostPlan:
    """How a search is spread over hosts.

    By themselves a quarter of the trials run at once, so that the proposals of three quarters are informed ones.

    Args:
        run: Settings; `pack` is not 1.
        trials: Trials in all.
        room: Hosts that the cluster has room for now.
        grows: Whether the cluster may get room for more.
    """
    lanes = MOST_LANES if run.pack == "auto" else run.pack
    wanted = room * lanes if run.pack != "auto" else min(room * lanes, max(FEWEST_AT_ONCE, trials // 4))
    if run.pack == "auto" and 0 < run.gpus_per_trial < 1:
        lanes = int(1 / run.gpus_per_trial + 1e-6)
        wanted = room * lanes
    if run.max_concurrent is not None:
        wanted = run.max_concurrent if grows else min(wanted, run.max_concurrent)
    concurrent = min(wanted, trials)
    hosts = min(concurrent, max(room, math.ceil(concurrent / lanes)) if grows else room)
    return HostPlan(hosts, math.ceil(concurrent / hosts), concurrent, run.cpus_per_trial, whole_gpus(run))
