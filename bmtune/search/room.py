"""How much a cluster has room for, and what it could get: arithmetic over resources, without Ray."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from bmtune.config.space_model import RunSettings
from bmtune.errors import ResourceError
from bmtune.search.plan import gpus_of
from bmtune.search.plan import trials_of_gpu
from bmtune.search.plan import whole_gpus

MOST_SHOWN = 8
"""Machines that a message lists; the others are counted."""

Resources = Mapping[str, float]
"""Amounts by name, as Ray has them: CPU, GPU and whatever else a machine was started with."""

_OPTIONS = {"CPU": ("processors", "--cpus-per-trial"), "GPU": ("GPUs", "--gpus-per-trial")}
_OWN = ("memory", "object_store_memory", "node:", "accelerator_type:")
"""Beginnings of the names that Ray gives each machine by itself."""


@dataclass(frozen=True)
class Machine:
    """A machine of a cluster, or a kind of machine that its autoscaler may add.

    Attributes:
        name: What a message calls it.
        resources: What it has in all.
        most: How many of the kind there may be.
    """

    name: str
    resources: Resources
    most: int = 1


@dataclass(frozen=True)
class Machines:
    """What a cluster has and what it may get.

    Attributes:
        here: Machines that are there, but for those that are about to leave.
        kinds: Kinds that the autoscaler may add; empty where there is none, or nobody tells.
        grows: Whether there is an autoscaler.
        most: Machines of all kinds that the autoscaler may add; None: nobody tells.
        leaving: Ids of machines that are about to leave.
    """

    here: tuple[Machine, ...]
    kinds: tuple[Machine, ...] = ()
    grows: bool = False
    most: int | None = None
    leaving: frozenset[str] = field(default_factory=frozenset)


def need_of_trial(run: RunSettings) -> dict[str, float]:
    """What a trial occupies that has a process of its own."""
    return _need(run.cpus_per_trial, gpus_of(run), dict(run.resources))


def need_of_host(run: RunSettings) -> dict[str, float]:
    """What a host occupies: trials that share a GPU share a host, which takes what they take together."""
    together = trials_of_gpu(run) or 1
    others = {name: amount * together for name, amount in run.resources}
    return _need(run.cpus_per_trial, whole_gpus(run), others)


def _need(cpus: float, gpus: float, others: Resources) -> dict[str, float]:
    return {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {}) | dict(others)


def places(resources: Resources, need: Resources) -> int:
    """How many processes with such a need a machine holds."""
    return min(_places_of(resources.get(name, 0.0), name, amount) for name, amount in need.items())


def _places_of(there: float, name: str, amount: float) -> int:
    if name == "GPU" and amount < 1:
        # A part is of one GPU: what is left of several does not add up to another one.
        return int(there) * int(1 / amount + 1e-6)
    return int(there / amount + 1e-6)


def room_now(machines: Machines, need: Resources) -> int:
    """How many processes with such a need fit on the machines that are there."""
    return sum(places(machine.resources, need) for machine in machines.here)


def room_most(machines: Machines, need: Resources) -> int | None:
    """How many fit when the autoscaler has added all that it may; None where nobody knows."""
    now = room_now(machines, need)
    if not machines.grows:
        return now
    if not machines.kinds:
        return None
    each = [(places(kind.resources, need), kind.most) for kind in machines.kinds]
    left = sum(most for _, most in each) if machines.most is None else machines.most
    could = 0
    for fitting, most in sorted(each, reverse=True):
        could += fitting * min(most, left)
        left -= min(most, left)
    return max(now, could)


def check_room(machines: Machines, need: Resources, asked: Resources | None = None) -> str | None:
    """Refuses what no machine will ever hold; a sentence where it must be waited for, None where there is room now.

    Args:
        machines: What is there and may come.
        need: What one process takes.
        asked: What was asked for one trial, which a message names; None: the same.

    Raises:
        ResourceError: One process with such a need fits on no machine that is there or that may come.
    """
    if room_now(machines, need):
        return None
    if room_most(machines, need) == 0:
        raise ResourceError(
            f"a trial must fit on one machine, but {_lacking(machines, need, asked or need)} (command line: "
            f"{_option(machines, need)}); ask for fewer"
        )
    return (
        f"no machine of the cluster has room for a trial yet ({told(need)}); there {_are(machines.here)}: the search "
        "begins when the cluster has grown"
    )


def _lacking(machines: Machines, need: Resources, asked: Resources) -> str:
    """What is asked for and what there is of it: where one resource is too scarce that one, else all of them."""
    possible = [*machines.here, *machines.kinds]
    name = _scarce(possible, need)
    if name is None:
        return f"it asks for {told(asked)} and no machine has all of that: there {_are(possible)}"
    words = _OPTIONS.get(name, (name, ""))[0]
    total = sum(machine.resources.get(name, 0) * machine.most for machine in possible)
    most = max((machine.resources.get(name, 0) for machine in possible), default=0)
    at_most = f", at most {most:g} on one machine" if len(possible) > 1 else ""
    have = f": there {_are(possible)}" if len(possible) > 1 else ""
    return f"it asks for {asked[name]:g} {words} and there are {total:g}{at_most}{have}"


def _scarce(possible: Sequence[Machine], need: Resources) -> str | None:
    """The resource of which no machine has enough; None where it is how they are spread."""
    for name in need:
        if not any(places(machine.resources, {name: need[name]}) for machine in possible):
            return name
    return None


def _option(machines: Machines, need: Resources) -> str:
    name = _scarce([*machines.here, *machines.kinds], need)
    return "--cpus-per-trial, --gpus-per-trial" if name is None else _OPTIONS.get(name, (name, "--resource"))[1]


def _are(machines: Sequence[Machine]) -> str:
    if not machines:
        return "is no machine"
    shown = [_machine(machine) for machine in machines[:MOST_SHOWN]]
    more = f" and {len(machines) - MOST_SHOWN} more" if len(machines) > MOST_SHOWN else ""
    return f"{'is' if len(machines) == 1 else 'are'} {'; '.join(shown)}{more}"


def _machine(machine: Machine) -> str:
    kind = f", of which there may be {machine.most}" if machine.most != 1 else ""
    return f"{machine.name} with {told(machine.resources)}{kind}"


def told(resources: Resources) -> str:
    """Resources in words, without those that every machine has."""
    amounts = {"CPU": 0.0, "GPU": 0.0} | {
        name: amount for name, amount in resources.items() if not name.startswith(_OWN)
    }
    words = [f"{amount:g} {_OPTIONS.get(name, (name, ''))[0]}" for name, amount in amounts.items()]
    return f"{', '.join(words[:-1])} and {words[-1]}"
