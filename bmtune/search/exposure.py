"""Who else could run code on a Ray cluster that a search joins, and whether the search may join it all the same.

Ray runs whatever code reaches its ports (CVE-2023-48022), unless the cluster asks for a token.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from bmtune.errors import ResourceError
from bmtune.redaction import redacted

OPTION = "--allow-open-cluster"
PATIENCE_S = 60.0
"""Seconds that the look may take; it takes one or two."""

WITHOUT = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS")
"""What the process that looks must not have: it is to be a stranger."""


class Exposure(NamedTuple):
    """What a stranger meets at a cluster.

    Attributes:
        address: Where the cluster answers, as host:port, or what was given where it does not.
        beyond: Whether it answers other machines too.
        asks_for_token: Whether it refuses who has none; None: it gave another answer, or could not be asked.
        refusal: Why there is no answer at all; None where there is one.
    """

    address: str
    beyond: bool = True
    asks_for_token: bool | None = None
    refusal: str | None = None


def look_at(address: str) -> Exposure:
    """Asks the cluster as a stranger, in a process of its own."""
    if "://" in address:
        # A port of Ray Client, which has no question that can be asked without joining.
        return Exposure(address)
    stranger = {name: value for name, value in os.environ.items() if name not in WITHOUT}
    return _asked(address, stranger | {"RAY_AUTH_MODE": "disabled"})


def takes_our_token(found: Exposure) -> bool:
    """Whether a cluster that asks for a token takes the one that this process has."""
    return _asked(found.address, os.environ | {"RAY_AUTH_MODE": "token"}).asks_for_token is False


def _asked(address: str, environment: Mapping[str, str]) -> Exposure:
    command = [sys.executable, "-m", "bmtune.search.probe", address]
    try:
        done = subprocess.run(
            command,
            # Else Ray would look for a cluster on this machine at its outward address.
            env={**environment, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        return Exposure(**json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.SubprocessError, IndexError, ValueError, TypeError):
        return Exposure(address)


def check_exposure(found: Exposure, environment: Mapping[str, str], *, allowed: bool) -> str | None:
    """Refuses a cluster that others could run code on; returns a warning where the user allowed it, else None.

    Args:
        found: What a stranger meets there.
        environment: Of this process: Ray encrypts and asks for certificates where RAY_USE_TLS is 1.
        allowed: Whether the user said that such a cluster is meant.

    Raises:
        ResourceError: The cluster is open to others, or does not tell, and the user has not allowed it.
    """
    safe = found.asks_for_token or not found.beyond
    if safe or found.refusal is not None or _has_tls(found, environment):
        return None
    place = redacted(found.address)
    does = "asks for none" if found.asks_for_token is False else "does not show that it does"
    if allowed:
        return (
            f"the Ray cluster at {place} must ask for a token and {does}: whoever reaches its ports runs code on its "
            f"machines, and {OPTION} was given"
        )
    raise ResourceError(
        f"a Ray cluster that other machines reach must ask for a token, but {place} {does}, so that whoever reaches "
        f"its ports runs code (CVE-2023-48022); start it with RAY_AUTH_MODE=token, or give {OPTION} if nobody else can "
        "reach it"
    )


def _has_tls(found: Exposure, environment: Mapping[str, str]) -> bool:
    return found.asks_for_token is None and environment.get("RAY_USE_TLS", "0").lower() in ("1", "true")
