"""What is wrong with a Ray cluster, and what a search would get of it: `bmtune doctor --address`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NamedTuple
from uuid import uuid4

from bmtune.config.space_model import RunSettings
from bmtune.errors import ResourceError
from bmtune.search import node_check
from bmtune.search.cluster import Cluster
from bmtune.search.node_check import NodeReport
from bmtune.search.outlook import Outlook
from bmtune.search.room import told

PATIENCE_S = 60.0
"""Seconds that a machine may take to answer; a first process there takes some."""

MOST_SKEW_S = 1.0
"""Clocks may differ by so much: lines of several machines are read side by side."""

LEAST_FREE = 2**30
"""Bytes that a disk should have free."""

MANY = 1000
"""Trials of the search that is asked about: more than any cluster trains at once."""


class Answer(NamedTuple):
    """What is known of one machine.

    Attributes:
        name: Its address.
        resources: What Ray counts there.
        report: What it says of itself; None where it did not answer.
        skew: Seconds that its clock is ahead of this one's.
        unsure: Seconds by which that may be wrong.
        problem: Why it did not answer, or None.
    """

    name: str
    resources: dict[str, float]
    report: NodeReport | None
    skew: float = 0.0
    unsure: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        facts: Sentences that say what there is.
        findings: Sentences that say what is amiss.
    """

    facts: tuple[str, ...]
    findings: tuple[str, ...]


def check_cluster(address: str, storage: Path) -> Diagnosis:
    """Joins a cluster, asks each of its machines, and leaves it as it was.

    Args:
        address: The cluster.
        storage: Folder of all runs.

    Raises:
        ResourceError: There is no such cluster, or it takes another token than ours.
    """
    with Cluster(address, allow_open=True) as cluster:
        cluster.wait()
        storage.mkdir(parents=True, exist_ok=True)
        mark = storage.resolve() / f".seen-{uuid4().hex}"
        mark.touch()
        try:
            answers = _asked(mark)
        finally:
            mark.unlink()
        own = node_check.check_node(str(mark.parent), mark.name)
        offer, refusal = _offer()
    facts = [f"{len(answers)} machine{'s' if len(answers) != 1 else ''} at {address}"]
    facts += [line for answer in answers for line in describe(answer)]
    facts.append("it asks for a token, or only this machine reaches it" if cluster.warning is None else "it is open")
    findings = [*filter(None, (cluster.warning, refusal)), *(text for one in answers for text in problems(one, own))]
    return Diagnosis((*facts, *offer), tuple(findings))


def _asked(mark: Path) -> list[Answer]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # By value: a machine without bmtune can answer too, and says so.
    ray.cloudpickle.register_pickle_by_value(node_check)  # type: ignore[no-untyped-call]
    check: Any = ray.remote(node_check.check_node)
    clock: Any = ray.remote(node_check.clock)
    asked = []
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            options = {
                "num_cpus": 0,
                "max_retries": 0,
                "scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            }
            asked.append((node, options, check.options(**options).remote(str(mark.parent), mark.name)))
    answers = []
    for node, options, answer in asked:
        name, resources = node["NodeManagerAddress"], node["Resources"]
        try:
            report = NodeReport(*ray.get(answer, timeout=PATIENCE_S))
            # Asked once more, since a process that is there already answers at once.
            began = time.time()
            found = ray.get(clock.options(**options).remote(), timeout=PATIENCE_S)
            ended = time.time()
        except (ray.exceptions.RayError, TimeoutError) as error:
            why = str(error).strip().split("\n")[-1] or type(error).__name__
            answers.append(Answer(name, resources, None, problem=why))
            continue
        skew, unsure = skew_of(began, found, ended)
        answers.append(Answer(name, resources, report, skew, unsure))
    return answers


def skew_of(asked: float, told: float, heard: float) -> tuple[float, float]:
    """Seconds that another clock is ahead, and by how many that may be wrong: it told its time between two of ours."""
    return told - (asked + heard) / 2, (heard - asked) / 2


def describe(answer: Answer) -> Iterator[str]:
    """What there is on a machine, in lines."""
    report = answer.report
    if report is None:
        yield f"{answer.name}: {told(answer.resources)}; it does not answer"
        return
    versions = ", ".join(f"{name} {report.versions.get(name, 'missing')}" for name in node_check.PACKAGES)
    yield f"{answer.name} ({report.host}): {told(answer.resources)}; Python {report.python}, {versions}"
    seen = "sees the storage folder" if report.sees else "does not see the storage folder: files travel with reports"
    yield (f"  {report.free / 2**30:.1f} GiB free; {seen}; clock {answer.skew:+.2f} s (within {answer.unsure:.2f} s)")
    for gpu in report.gpus:
        yield f"  {gpu.name}, {gpu.memory / 2**30:.1f} GiB, driver {gpu.driver}"


def problems(answer: Answer, own: NodeReport) -> Iterator[str]:
    """What is amiss with a machine, as this one sees it, in sentences."""
    report, name = answer.report, answer.name
    if report is None:
        yield f"every machine must answer, but {name} does not: {answer.problem}"
        return
    for package in node_check.PACKAGES:
        theirs, ours = report.versions.get(package, "none"), own.versions.get(package, "none")
        if theirs != ours:
            yield f"{package} must be the same everywhere, but {name} has {theirs} and this machine has {ours}"
    if report.refused is not None:
        yield f"every machine must be able to write files, but {name} says: {report.refused}"
    if report.free < LEAST_FREE:
        yield f"a disk should have 1 GiB free, but {name} has {report.free / 2**30:.2f}"
    if abs(answer.skew) - answer.unsure > MOST_SKEW_S:
        yield f"clocks should agree to {MOST_SKEW_S:g} s, but that of {name} differs by {answer.skew:+.1f} s"
    counted = answer.resources.get("GPU", 0)
    if counted > len(report.gpus):
        known = len(report.gpus)
        yield f"Ray must count GPUs that there are, but on {name} it counts {counted:g} and the driver knows {known}"


def _offer() -> tuple[tuple[str, ...], str | None]:
    """What a search would get now, and why not, where it would get nothing."""
    from bmtune.search.machines import ClusterMachines

    machines = ClusterMachines(may_grow=True)()
    try:
        outlook = Outlook(RunSettings(gpus_per_trial="auto"), MANY, lambda: machines)
    except ResourceError as error:
        return (), str(error)
    plan = outlook.seen.plan
    of = f"{plan.gpus} GPU and {plan.cpus} processor" if plan.gpus else f"{plan.cpus} processor"
    grows = "it has an autoscaler" if machines.grows else "it has no autoscaler"
    return (
        f"a search of {MANY} trials with --gpus-per-trial auto would ask for {plan.hosts} processes of {of}, and train "
        f"{plan.concurrent} trials at once as soon as there is room, {plan.lanes} in each process; {grows}",
    ), outlook.seen.waiting
