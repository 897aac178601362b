"""One process that writes to W&B for a whole search.

Everything that W&B is told stands in the records file, so the process follows that file: no queue joins it to
the search, which it can neither delay nor make wait, and what it has missed can be sent again at any time.
"""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal
from typing import Self

from bmtune.errors import ConfigError

WandbMode = Literal["online", "offline"]
PATIENCE_S = 5.0
"""How long the end of a search waits for W&B."""


def check_login(mode: WandbMode) -> None:
    """Refuses W&B online without an API key; on a terminal W&B asks for one. Nothing is sent.

    Raises:
        ConfigError: There is no key.
    """
    if mode == "offline":
        return
    import wandb

    try:
        wandb.login(verify=False)
    except wandb.Error as error:
        raise ConfigError(
            f"W&B online needs an API key, but {str(error).strip().rstrip('.')} (command line: --wandb); "
            "run `wandb login`, set WANDB_API_KEY, or use --wandb offline"
        ) from error


class WandbProcess:
    """The writer process of one search, from before its first record to after its last.

    Args:
        folder: The run folder; made where it is missing.
        mode: "online" or "offline".
        patience_s: Most seconds that `finish` waits.
    """

    def __init__(self, folder: Path, mode: WandbMode, patience_s: float = PATIENCE_S) -> None:
        self._folder = folder
        self._mode = mode
        self._patience_s = patience_s
        self._told = folder / "wandb" / "writer-said.txt"
        self._log = folder / "wandb" / "writer-errors.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None before it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process and returns at once."""
        self._told.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bmtune.tracking", str(self._folder), self._mode]
        with self._told.open("wb") as told, self._log.open("wb") as log:
            # A session of its own: Ctrl-C is for the search, which then ends this process in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=told, stderr=log, start_new_session=True
            )

    def finish(self, within_s: float | None = None) -> str:
        """Tells the process that the search has ended, waits a little, and says in a sentence how it went.

        Args:
            within_s: Most seconds that this may take, where that is less than usual.
        """
        assert self._process is not None, "the writer was started"
        patience_s = self._patience_s if within_s is None else min(self._patience_s, within_s)
        try:
            self._process.communicate(b"finish\n", timeout=patience_s)
        except subprocess.TimeoutExpired:
            return (
                f"W&B has not taken everything within {patience_s:.3g} s; process {self._process.pid} goes on with "
                f"it, and `{self._again}` sends again what may be missing"
            )
        if self._process.returncode != 0:
            return (
                f"the W&B writer failed with exit code {self._process.returncode} (see {self._log}); "
                f"`{self._again}` sends what is missing"
            )
        if said := self._told.read_text().strip():
            return said
        kept = self._folder / "wandb"
        offline = f"W&B runs are kept in {kept}; `wandb sync {kept}/offline-run-*` sends them"
        return offline if self._mode == "offline" else "W&B has all runs"

    @property
    def _again(self) -> str:
        return f"{Path(sys.executable).name} -m bmtune.tracking {self._folder} {self._mode} </dev/null"

    def __enter__(self) -> Self:
        """Starts the process."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process in order where `finish` did not."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
