"""The Ray cluster of a search: one of its own on loopback, or one that exists."""

import ctypes
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

from bmtune.errors import BmtuneError
from bmtune.errors import ResourceError
from bmtune.errors import StoppedBySignalError
from bmtune.redaction import redacted
from bmtune.search.children import end_children
from bmtune.search.exposure import Exposure
from bmtune.search.exposure import check_exposure
from bmtune.search.exposure import look_at
from bmtune.search.exposure import takes_our_token
from bmtune.search.interruption import Interruption
from bmtune.search.same_code import brought_along
from bmtune.search.same_code import check_code

ENVIRONMENT = {
    # Tune's own output, loggers, state snapshots, change of directory and signal handler are not wanted: records,
    # listeners and the driver take their place.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
"""Environment of this process and of those that Ray starts from it."""


FOR_HOSTS = "bmtune.search.host,bmtune.search.solo"
"""Modules of a process that trains many trials."""

FOR_TRIALS = "bmtune.search.trainable"
"""Modules of a process that trains one."""


def local_environment(modules: str = FOR_HOSTS) -> dict[str, str]:
    """What makes a cluster of one's own private and quick; Ray reads it when it is imported.

    Whoever reaches a port of Ray runs code (CVE-2023-48022). Ray 2.60 listens on every interface of a machine that has
    a network card, whatever `_node_ip_address` says, unless it believes to be on a laptop's operating system.
    The token is known to this process and its children only; by itself Ray would leave one in the home folder.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Idle processes import what training needs while the driver is still reading data; it then starts in them.
        "RAY_preload_python_modules": modules,
    }


PRIVATE = ("RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
"""Those of `local_environment` that a user's own environment does not change: a search opens no door."""


def _make_private(modules: str) -> bool:
    """Sets the environment of a cluster of one's own; False where Ray was imported before, with another one."""
    wanted = local_environment(modules)
    was_set = all(os.environ.get(name) == value for name, value in wanted.items() if name in PRIVATE)
    in_time = "ray" not in sys.modules or (was_set and wanted.keys() <= os.environ.keys())
    for name, value in wanted.items():
        os.environ[name] = value if name in PRIVATE else os.environ.get(name, value)
    return in_time


LOCAL_OPTIONS: dict[str, Any] = {
    "address": "local",
    "include_dashboard": False,
    "_node_ip_address": "127.0.0.1",
    "log_to_driver": False,
    "logging_level": logging.ERROR,
}
"""Options of `ray.init` for a cluster of one's own: silent, on loopback, without a dashboard."""

PATIENCE_S = 180.0
"""Seconds that Ray may take to start or to answer; it takes 5 to 10 on two idle cores."""


class Cluster:
    """A connection to Ray that begins in the background.

    Connecting takes seconds in which this process mostly waits; the caller reads its data meanwhile.
    """

    def __init__(
        self,
        address: str | None,
        patience_s: float = PATIENCE_S,
        modules: str = FOR_HOSTS,
        *,
        allow_open: bool = False,
        interruption: Interruption | None = None,
    ) -> None:
        """Begins to connect.

        Args:
            address: A cluster to join ("auto", "ray://...", "host:port"); None starts one on this machine.
            patience_s: Seconds that connecting may take.
            modules: What processes of a cluster of one's own import beforehand.
            allow_open: Whether to join a cluster too on which whoever reaches it runs code.
            interruption: Removes Ray's files where the search is left at once.

        Attributes:
            warning: After `wait`, a sentence for the user about the cluster, or None.
        """
        self.warning: str | None = None
        self._address = address
        self._allow_open = allow_open
        self._interruption = interruption
        self._patience_s = patience_s
        self._temporary: str | None = None
        self._owned = False
        self._error: Exception | None = None
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._too_late = address is None and not _make_private(modules)
        self._connected = threading.Event()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="ray", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when connected.

        Raises:
            ResourceError: There is no such cluster, or Ray does not start.
        """
        target = redacted(self._address) if self._address else "this machine"
        if not self._connected.wait(self._patience_s):
            raise ResourceError(
                f"Ray must answer within {self._patience_s:g} s, but {target} has not; "
                "end what keeps the machine busy, or check --address"
            )
        if self._error is not None:
            raise _told(self._error, target) from self._error

    def _hold(self) -> None:
        """Connects, and lives until `close`: Linux ends Ray's processes with the thread that started them."""
        try:
            self._start()
        except Exception as error:
            self._error = error
        self._connected.set()
        self._released.wait()

    def _start(self) -> None:
        found = None if self._address is None or _is_connected() else look_at(self._address)
        if found is not None:
            self.warning = check_exposure(found, os.environ, allowed=self._allow_open)
            _fit_to(found)
        # Imported here: the import alone takes seconds, and belongs in this thread.
        import ray

        # Tune logs trials that it was told to stop as errors; errors that matter reach the driver as exceptions.
        for name in ("ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if ray.is_initialized():
            check_code()
            return
        if self._too_late:
            raise RuntimeError("it was imported before the search could make it private; import ray after the search")
        with _signal_handler_kept(signal.SIGTERM):
            if found is None:
                self._temporary = tempfile.mkdtemp(prefix="bmtune-ray-")
                if self._interruption is not None:
                    self._interruption.remove_at_end(Path(self._temporary))
                ray.init(**LOCAL_OPTIONS, _temp_dir=self._temporary)
            else:
                brought = brought_along(os.environ)
                ray.init(address=found.address, runtime_env=brought, log_to_driver=False, logging_level=logging.ERROR)
        self._owned = True
        if found is not None:
            check_code()

    def close(self) -> None:
        """Disconnects; a cluster of one's own ends, and its files are removed."""
        if not self._connected.wait(self._patience_s):
            # The thread that hangs in Ray ends with this process, and what it started ends with it.
            return
        if self._owned:
            import ray

            ray.shutdown()
        self._released.set()
        self._thread.join()
        if self._temporary is not None and self._interruption is not None and self._interruption.is_requested:
            # Where the signal went to all processes, Ray's own were not there to end the others.
            end_children(self._interruption.children)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        """The cluster, perhaps not yet connected."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnects; whoever was interrupted while Ray still starts does not wait for it."""
        if isinstance(error, StoppedBySignalError) and self._address is None and not self._connected.is_set():
            end_children()
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)
            return
        self.close()


@contextmanager
def _signal_handler_kept(number: signal.Signals) -> Iterator[None]:
    """What the process does on a signal is afterwards as it was before.

    Ray puts a handler of its own there that prints a trace and kills the process, and Python can only put its own back
    from the main thread, which is reading data. So what the operating system holds is copied, as it is.
    """
    library = ctypes.CDLL(None, use_errno=True)
    # Larger than `struct sigaction` on any system: nobody looks inside.
    kept = ctypes.create_string_buffer(512)
    known = library.sigaction(int(number), None, kept) == 0
    try:
        yield
    finally:
        if known:
            library.sigaction(int(number), kept, None)


def _is_connected() -> bool:
    """Whether this process has a cluster already, which a program that searches may have joined itself."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _fit_to(found: Exposure) -> None:
    """Sets the environment that joining this cluster takes; Ray reads it when it is imported.

    Raises:
        ConnectionError: Nothing answers there.
        ResourceError: It takes another token than ours.
    """
    if found.refusal is not None:
        raise ConnectionError(found.refusal)
    if found.asks_for_token and not takes_our_token(found):
        raise ResourceError(
            f"the Ray cluster's token must be given, but {redacted(found.address)} takes none from here (command line: "
            "--address); set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
        )
    os.environ.setdefault("RAY_AUTH_MODE", "token" if found.asks_for_token else "disabled")
    if not found.beyond:
        # Ray would look for it at this machine's outward address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def _told(error: Exception, target: str) -> BmtuneError:
    """What went wrong, for the user."""
    if isinstance(error, BmtuneError):
        return error
    text = redacted(" ".join(str(error).split()))
    return ResourceError(f"a search needs Ray, but {target} gives none: {text}; check --address, or leave it away")
