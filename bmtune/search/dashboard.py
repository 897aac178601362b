"""optuna-dashboard on a run: reachable from this machine only, and only to look at.

The page's own server lets whoever reaches it delete studies and write notes. Here nothing can be changed, and pages of
other sites, which a browser lets call any address of its machine, are not answered.
"""

import json
import logging
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.simple_server import WSGIServer
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse
from wsgiref.types import WSGIApplication
from wsgiref.types import WSGIEnvironment

from optuna_dashboard import wsgi

from bmtune.config.space_model import SearchSpace
from bmtune.errors import DashboardError
from bmtune.search.run_mirror import RunMirror
from bmtune.search.run_mirror import Teller

HOST = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost"})
"""What a browser may call this machine; a tunnel from another machine ends at one of them too."""
REFRESH_S = 2.0
"""Seconds between two looks at the records."""


@dataclass(frozen=True)
class Served:
    """A dashboard that answers.

    Attributes:
        url: Its page of the run.
        mirror: What it shows.
    """

    url: str
    mirror: RunMirror


@contextmanager
def dashboard(
    folder: Path, tell: Callable[[SearchSpace], Teller], port: int = 0, refresh_s: float = REFRESH_S
) -> Iterator[Served]:
    """Serves a run until the context ends; nothing runs on afterwards.

    Args:
        folder: The run folder; it is only read.
        tell: Makes who writes the note of the whole run.
        port: Where; 0: a free one.
        refresh_s: Seconds between two looks at the records.

    Raises:
        DashboardError: The port is taken, or may not be used.
        RunFolderError: There is no run, or nothing of it is recorded yet.
        FormatError: The records have another format or version, or are damaged.
        ConfigError: `search.yaml` breaks a rule.
    """
    # It warns of every page that asks for importances before there are trials enough for them.
    logging.getLogger("optuna_dashboard").setLevel(logging.ERROR)
    mirror = RunMirror(folder, tell)
    server = _bound(guarded(wsgi(mirror.storage, artifact_store=mirror.files)), port)
    over = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dashboard", daemon=True),
        threading.Thread(target=_follow, args=(mirror, over, refresh_s), name="dashboard-records", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield Served(f"http://{HOST}:{server.server_port}/dashboard/studies/{mirror.storage.study_id}", mirror)
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def _follow(mirror: RunMirror, over: threading.Event, refresh_s: float) -> None:
    while not over.wait(refresh_s):
        mirror.refresh()


class _Server(ThreadingMixIn, WSGIServer):
    # A browser keeps connections open; they are not waited for at the end.
    daemon_threads = True
    block_on_close = False


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A page asks several times a minute; the terminal is not told."""


def _bound(application: WSGIApplication, port: int) -> WSGIServer:
    try:
        return make_server(HOST, port, application, server_class=_Server, handler_class=_SilentHandler)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is none"
        raise DashboardError(
            f"--port must be a free one, but {port} cannot be used ({reason}); give another, or leave it away"
        ) from error


def guarded(application: WSGIApplication) -> WSGIApplication:
    """The application without what changes anything, and closed to pages of other sites.

    A page of another site can send its visitor's browser here under a name of its own ("DNS rebinding"), so the name
    must be one of `NAMES`; and what the application opens to all sites is closed again.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").partition(":")[0] not in NAMES:
            return _refuse(start_response, "this dashboard answers under the name of its own machine only")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "this dashboard shows a run and changes nothing of it")

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
            kept = [entry for entry in headers if entry[0].lower() != "access-control-allow-origin"]
            return start_response(status, kept, *more)

        return application(environ, start)

    return answer


def _refuse(start_response: StartResponse, reason: str) -> list[bytes]:
    start_response("403 Forbidden", [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]
