"""What of the cluster needs none: the rest is in end_to_end."""

import os
import subprocess
import sys
import threading

import pytest

from bmtune.errors import ResourceError
from bmtune.search.cluster import Cluster
from bmtune.search.cluster import _make_private
from bmtune.search.cluster import local_environment
from bmtune.search.exposure import Exposure

# Importing Ray takes a second.
pytestmark = pytest.mark.slow


def test_a_token_of_its_own_for_every_process() -> None:
    first, second = local_environment(), local_environment()
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("mode", ["disabled", "", "token"])
def test_no_variable_of_the_user_opens_a_cluster_of_ones_own(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the user")
    # Ray was imported by another test, with other variables: too late for this process, and it is told.
    assert not _make_private("bmtune")
    found = [os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_TOKEN")]
    assert found == ["token", "0", "of the user"]


def test_an_open_cluster_is_refused_before_ray_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    asked: list[str] = []

    def look(address: str) -> Exposure:
        asked.append(address)
        return Exposure(address, asks_for_token=False)

    monkeypatch.setattr("bmtune.search.cluster.look_at", look)
    with Cluster("10.0.0.1:6379") as cluster, pytest.raises(ResourceError, match="--allow-open-cluster"):
        cluster.wait()
    assert asked == ["10.0.0.1:6379"]


def test_a_ray_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    asked, released = threading.Event(), threading.Event()

    def silent(**options: object) -> None:
        asked.set()
        released.wait(30)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", silent)
    monkeypatch.setattr("bmtune.search.cluster.look_at", lambda address: Exposure(address, asks_for_token=False))
    with Cluster("10.0.0.1:6379", patience_s=0.2, allow_open=True) as cluster:
        assert asked.wait(30)
        assert cluster.warning is not None
        with pytest.raises(ResourceError, match=r"Ray must answer within 0.2 s, but 10.0.0.1:6379 has not"):
            cluster.wait()
    released.set()


def test_ray_that_was_imported_too_early_is_told_at_once() -> None:
    program = (
        "import ray\n"
        "from bmtune.search.cluster import Cluster\n"
        "from bmtune.errors import ResourceError\n"
        "with Cluster(None) as cluster:\n"
        "    try:\n        cluster.wait()\n"
        "    except ResourceError as error:\n        print(error)\n"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    bare["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=60, check=True)
    assert "imported before the search" in done.stdout
