"""W&B itself: opening and finishing runs, and what happens where it cannot be reached."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bmtune.tracking.runs import RunFacts

PROJECT = "bmtune"
INIT_TIMEOUT_S = 30
FINISH_TIMEOUT_S = 60
LINK_FILE = "link.txt"
"""Below `wandb/` in the run folder: where W&B shows the search."""


class WandbService:
    """Opens runs online or offline; after the first failure online, offline.

    Args:
        folder: The run folder; W&B writes below its `wandb/`.
        mode: "online" or "offline".
        tell: Takes a sentence that the user should read.
    """

    def __init__(self, folder: Path, mode: str, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self.mode = mode
        self._tell = tell

    def open(self, facts: RunFacts) -> Any:
        """See `Service.open`."""
        import wandb

        try:
            return self._init(facts)
        except wandb.Error as error:
            if self.mode == "offline":
                raise
            self._go_offline(f"W&B could not be reached ({_first_line(error)})")
            # The id that failed stays taken in this process.
            return self._init(replace(facts, id=f"{facts.id}-kept"))

    def image(self, path: Path) -> Any:
        """See `Service.image`."""
        import wandb

        return wandb.Image(str(path))

    def finish(self, run: Any, exit_code: int) -> None:
        """See `Service.finish`."""
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            self._go_offline(f"W&B did not take a run within {FINISH_TIMEOUT_S} s")

    def _init(self, facts: RunFacts) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            x_disable_stats=True,
            x_disable_meta=True,
            x_save_requirements=False,
            save_code=False,
            disable_git=True,
            init_timeout=INIT_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
            finish_timeout_raises=True,
        )
        online = self.mode == "online"
        run = wandb.init(
            project=None if "WANDB_PROJECT" in os.environ else PROJECT,
            group=facts.group,
            id=facts.id,
            name=facts.name,
            config=facts.config,
            mode="online" if online else "offline",
            # What was sent before is not sent twice: W&B drops steps that it has.
            resume="allow" if online else None,
            reinit="create_new",
            dir=self._folder,
            settings=settings,
        )
        if online:
            write_link(self._folder, run.url, facts.group)
        return run

    def _go_offline(self, reason: str) -> None:
        if self.mode == "online":
            self.mode = "offline"
            kept = self._folder / "wandb"
            self._tell(f"{reason}; from here on runs are kept in {kept} and `wandb sync {kept}/*run-*` sends them")


def write_link(folder: Path, url: str | None, group: str) -> None:
    """Remembers where W&B shows a search.

    Args:
        folder: The run folder.
        url: Of one of its W&B runs, as W&B gives it.
        group: The group of all of them.
    """
    if url is not None and "/runs/" in url:
        (folder / "wandb").mkdir(exist_ok=True)
        (folder / "wandb" / LINK_FILE).write_text(f"{url.partition('/runs/')[0]}/groups/{quote(group)}\n")


def read_link(folder: Path) -> str | None:
    """Where W&B shows the search of a run folder; None where it was told nothing online."""
    try:
        return (folder / "wandb" / LINK_FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
