"""One version of bmtune for a whole search: a process that joins a cluster brings its own, and every node is asked.

Ray unpacks the package of the driver for the workers of its job and puts it before what is installed on their machines,
also on machines that join later. Ray itself refuses nodes with another version of Ray or Python.
"""

import json
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bmtune
from bmtune.errors import ResourceError

PATIENCE_S = 120.0
"""Seconds in which all nodes must have said what they have; the first process of a node takes five."""

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray tells the driver of a job what the job brings along."""

NOT_CODE = ("__pycache__", "*.pyc")
"""What a machine makes of the package for itself."""


def package_environment() -> dict[str, Any]:
    """The runtime environment in which workers run the package of this process."""
    return {"py_modules": [str(Path(bmtune.__file__).parent)], "excludes": list(NOT_CODE)}


def brought_along(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The runtime environment to join a cluster with; None where the job of this process brings packages already.

    Args:
        environment: Of this process. Ray lets nobody add to what a job brings.
    """
    job = json.loads(environment.get(JOB_VARIABLE) or "{}").get("runtime_env") or {}
    if "py_modules" in job:
        return None
    return {key: value for key, value in package_environment().items() if key not in job}


def code_name() -> str:
    """Version of this package and a hash of its sources: `0.1.0 (sources 1a2b3c4d)`."""
    return _teller()()


def check_code() -> None:
    """Asks every node of the connected cluster, where there are several, which bmtune its workers run.

    Raises:
        ResourceError: One has another than this process.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    ask = ray.remote(num_cpus=0, max_retries=0)(_teller())
    answers = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(): address
        for node, address in nodes.items()
    }
    ready, missing = ray.wait(list(answers), num_returns=len(answers), timeout=PATIENCE_S)
    if missing:
        raise ResourceError(
            f"every node must say within {PATIENCE_S:g} s which bmtune it has, but {answers[missing[0]]} has not; "
            "end what keeps it busy, or take it out of the cluster"
        )
    for reference in ready:
        try:
            there = ray.get(reference)
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError, ray.exceptions.WorkerCrashedError):
            # It has just left the cluster.
            continue
        check_same(code_name(), there, answers[reference])


def check_same(here: str, there: str, place: str) -> None:
    """Refuses a node with another version.

    Args:
        here: What this process has.
        there: What the node has.
        place: Where the node is.

    Raises:
        ResourceError: They differ.
    """
    if here != there:
        raise ResourceError(
            f"every node must run the bmtune of this process, {here}, but {place} has {there}; install the same one "
            "there, or leave it to bmtune to connect to the cluster: it then brings its own"
        )


def _teller() -> Callable[[], str]:
    """What says which bmtune a process has; it travels by value, since the one over there may not know it."""

    def tell() -> str:
        import hashlib
        from pathlib import Path

        try:
            import bmtune
        except ImportError:
            return "none"
        package = Path(bmtune.__file__).parent
        sources = hashlib.sha256()
        for path in sorted(package.rglob("*.py")):
            sources.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
        return f"{bmtune.__version__} (sources {sources.hexdigest()[:8]})"

    return tell
