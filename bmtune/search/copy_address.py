"""Addresses of places elsewhere, such as s3://bucket/runs, where a copy of a run is kept. Imports nothing heavy."""

import re
from hashlib import sha256
from pathlib import Path

from bmtune.config.data_folders import cache_folder
from bmtune.config.names import is_address
from bmtune.config.paths import COMMAND_LINE
from bmtune.errors import ConfigError
from bmtune.redaction import redacted


def storage_of(given: str) -> tuple[Path, str | None]:
    """The folder of all runs on this machine, and the address of their copies; None: there are none.

    Args:
        given: Value of `--storage`: a folder or an address.

    Raises:
        ConfigError: It is an address with a secret in it.
    """
    if not is_address(given):
        return Path(given), None
    address = check_address(given).rstrip("/")
    return local_storage(address), address


def check_address(address: str) -> str:
    """The address itself, where it holds no secret: it is shown, and may end up in logs and in the list of processes.

    Raises:
        ConfigError: It holds one.
    """
    shown = redacted(address, {})
    if shown == address:
        return address
    raise ConfigError(
        f"an address must hold neither a user nor a secret, but got {shown} ({COMMAND_LINE}: --storage); leave them "
        "away and give credentials by the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def local_storage(address: str) -> Path:
    """The folder on this machine of the runs that are copied to an address.

    It is keyed by the address, so that runs with one name in two places do not meet, and lies among what can be had
    again. Unlike `outputs` it does not depend on the working folder, which for a job of a cluster is removed at its
    end.
    """
    words = re.sub(r"[^A-Za-z0-9]+", "-", address.partition("?")[0]).strip("-")[:60]
    return cache_folder() / "runs" / f"{words}-{sha256(address.encode()).hexdigest()[:8]}"


def below(address: str, name: str) -> str:
    """The address of the run called `name`, without parameters: for the user, not for a program."""
    return f"{address.partition('?')[0].rstrip('/')}/{name}"
