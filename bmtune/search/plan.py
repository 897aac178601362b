"""How many trials run at once, and in how many processes: arithmetic over the settings and the room that there is."""

import math
from collections.abc import Sequence
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
        hosts: Most hosts at once, those included that there is no room for yet.
        lanes: Trials of one host at once.
        concurrent: Trials of the search at once, on the hosts that there is room for.
        cpus: Processors, and threads, of a host.
        gpus: GPUs of a host, whole ones.
        resources: What else a host occupies, by name.
        fixed: Whether the user chose how many trials a host has.
    """

    hosts: int
    lanes: int
    concurrent: int
    cpus: int
    gpus: int
    resources: tuple[tuple[str, float], ...] = ()
    fixed: bool = False


def gpus_of(run: RunSettings) -> float:
    """GPUs of one trial, where that is settled."""
    assert run.gpus_per_trial != "auto", "it is settled as soon as the cluster is known"
    return run.gpus_per_trial


def trials_of_gpu(run: RunSettings) -> int:
    """How many trials share a GPU; 0 where they do not."""
    gpus = gpus_of(run)
    return int(1 / gpus + 1e-6) if 0 < gpus < 1 else 0


def whole_gpus(run: RunSettings) -> int:
    """GPUs of a host: trials that share a GPU share a host."""
    return math.ceil(gpus_of(run))


def plan_hosts(run: RunSettings, trials: int, room: int, most: int | None = 0) -> HostPlan:
    """How a search is spread over hosts.

    By themselves a quarter of the trials run at once, so that the proposals of three quarters are informed ones.

    Args:
        run: Settings; `pack` is not 1.
        trials: Trials in all.
        room: Hosts that the cluster has room for now.
        most: Hosts that it may get room for, where those are more; None: nobody knows how many.
    """
    lanes = trials_of_gpu(run) if run.pack == "auto" else run.pack
    # What a user says of packs, or of parts of a GPU, is how many trials a host has; else it is for us to choose.
    chosen, lanes = not lanes, lanes or MOST_LANES
    wanted = max(FEWEST_AT_ONCE, trials // 4) if chosen or most is None else trials
    if run.max_concurrent is not None:
        wanted = run.max_concurrent if most is None else min(wanted, run.max_concurrent)
    wanted = min(wanted, trials)
    hosts = min(wanted, max(1, room, math.ceil(wanted / lanes) if most is None else most))
    # Until more machines have come, those that are there take what they can.
    there = min(hosts, max(1, room))
    concurrent = min(wanted, there * lanes)
    together = trials_of_gpu(run) or 1
    resources = tuple((name, amount * together) for name, amount in run.resources)
    each = math.ceil(concurrent / there)
    return HostPlan(hosts, each, concurrent, run.cpus_per_trial, whole_gpus(run), resources, fixed=not chosen)


def lanes_by_memory(plan: HostPlan, memory: Sequence[int | None]) -> list[int]:
    """Trials of each host: where they are for us to choose, in proportion to the memory of its device.

    Args:
        plan: How the search is spread over hosts.
        memory: Bytes of each host's device; None: nobody knows, and it counts as one of the mean.
    """
    known = [size for size in memory if size]
    if not known or plan.fixed:
        return [plan.lanes] * len(memory)
    mean = sum(known) / len(known)
    return [min(MOST_LANES, max(1, round(plan.lanes * (size or mean) / mean))) for size in memory]
