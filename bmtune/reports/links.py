"""Other pages on which a run can be looked at, where there are any."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bmtune.tracking import read_link

RAY = "127.0.0.1:8265"
"""Where Ray puts its dashboard, unless it is told otherwise."""
PATIENCE_S = 0.5
TENSORBOARD = "**/events.out.tfevents.*"
"""Files that TensorBoard reads."""


def links(folder: Path) -> Iterator[str]:
    """A line for each page that exists.

    Args:
        folder: The run folder.
    """
    wandb = read_link(folder)
    if wandb is not None:
        yield f"Weights & Biases: {wandb}"
    if next(folder.glob(TENSORBOARD), None) is not None:
        yield f"TensorBoard: tensorboard --logdir {folder}"
    address = os.environ.get("RAY_DASHBOARD_ADDRESS", f"http://{RAY}")
    if _is_ray(address):
        yield f"Ray: {address}"


def _is_ray(address: str) -> bool:
    """Whether Ray's dashboard answers there; one that asks for a token does too."""
    if not address.startswith(("http://", "https://")):
        return False
    # A proxy is of no use on the way to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address.rstrip('/')}/api/version", timeout=PATIENCE_S) as answer:
            return b'"ray_version"' in answer.read(4096)
    except urllib.error.HTTPError as error:
        return error.code == 401
    except (OSError, ValueError):
        return False
