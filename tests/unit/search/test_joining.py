"""What a search brings to a cluster that it joins, and what it asks there."""

from typing import Any

import pytest

from bmtune.errors import ResourceError
from bmtune.search import cluster
from bmtune.search.cluster import Cluster
from bmtune.search.exposure import Exposure
from bmtune.search.same_code import package_environment

# Importing Ray takes a second.
pytestmark = pytest.mark.slow


class Joined:
    """Stands for Ray and for the nodes of a cluster on loopback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        self.options: list[dict[str, Any]] = []
        self.asked = self.left = 0
        self.refusal: ResourceError | None = None
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", lambda **options: self.options.append(options))
        monkeypatch.setattr(ray, "shutdown", self.leave)
        monkeypatch.setattr(cluster, "look_at", lambda address: Exposure(address, beyond=False, asks_for_token=False))
        monkeypatch.setattr(cluster, "check_code", self.ask)

    def ask(self) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal

    def leave(self) -> None:
        self.left += 1


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Joined:
    return Joined(monkeypatch)


def test_a_search_that_joins_brings_its_package_and_asks_the_nodes(joined: Joined) -> None:
    with Cluster("127.0.0.1:1") as connected:
        connected.wait()
    assert [options["runtime_env"] for options in joined.options] == [package_environment()]
    assert (joined.asked, joined.left) == (1, 1)


def test_a_search_on_its_own_cluster_does_neither(joined: Joined) -> None:
    with Cluster(None) as connected:
        connected.wait()
    (options,) = joined.options
    assert "runtime_env" not in options
    assert (joined.asked, joined.left) == (0, 1)


def test_a_cluster_with_another_version_is_left_again(joined: Joined) -> None:
    joined.refusal = ResourceError("every node must run the bmtune of this process")
    with pytest.raises(ResourceError, match="every node"), Cluster("127.0.0.1:1") as connected:
        connected.wait()
    assert joined.left == 1
