"""`python -m bmtune.search.probe ADDRESS`: what a Ray cluster lets somebody do who has no token, as one JSON object.

A process of its own, because Ray reads its environment once: this one has no token, and the search may have one.
"""

import json
import socket
import sys
from ipaddress import ip_address

from bmtune.search.exposure import Exposure

AUTH_ERROR = "AuthenticationError"
"""Name of what Ray raises where a token is missing or wrong."""

PATIENCE_S = 5.0
"""Seconds that a port may take to answer; an unanswered call of Ray would take forty."""


def main(address: str) -> int:
    """Prints what was found, or why nothing was."""
    try:
        found = look(address)
    except Exception as error:
        # Whatever Ray raises here is told in one sentence by the search that asked.
        found = Exposure(address, refusal=" ".join(str(error).split()) or type(error).__name__)
    sys.stdout.write(json.dumps(found._asdict()) + "\n")
    return 0


def look(address: str) -> Exposure:
    """Connects without a token.

    Raises:
        OSError: Nothing answers at the address.
        ValueError: It is no address of a cluster.
    """
    from ray._private.services import canonicalize_bootstrap_address

    place = canonicalize_bootstrap_address(address)
    if place is None:
        raise ValueError("it is no address of a cluster that exists")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), PATIENCE_S):
        beyond = not is_loopback(host) or answers_beyond(int(port))
    asks, dashboard = _ask(place)
    return Exposure(place, beyond=beyond or answers_beyond(dashboard), asks_for_token=asks)


def _ask(place: str) -> tuple[bool | None, int]:
    """Whether a token is asked for, and the port of the dashboard, which runs code too; 0 where there is none."""
    from ray._private import ray_constants
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    namespace = ray_constants.KV_NAMESPACE_DASHBOARD
    try:
        said = GcsClient(address=place).internal_kv_get(ray_constants.DASHBOARD_ADDRESS.encode(), namespace=namespace)
    except Exception as error:
        return (True if type(error).__name__ == AUTH_ERROR else None), 0
    port = (said or b"").decode().rpartition(":")[2]
    return False, int(port) if port.isdecimal() else 0


def is_loopback(host: str) -> bool:
    """Whether every address of the host is one that only this machine reaches."""
    entries = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    return all(ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in entries)


def answers_beyond(port: int) -> bool:
    """Whether this port of this machine also answers at the addresses under which others know the machine."""
    return port > 0 and any(_answers(host, port) for host in outward_hosts())


def outward_hosts() -> tuple[str, ...]:
    """The addresses of this machine that packets to others would come from; nothing is sent."""
    found = []
    for family, other in (
        (socket.AF_INET, "192.0.2.1"),
        (socket.AF_INET, "10.0.0.1"),
        (socket.AF_INET6, "2001:db8::1"),
    ):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((other, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            # No such network on this machine.
            continue
    return tuple(dict.fromkeys(host for host in found if not ip_address(host).is_loopback))


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
