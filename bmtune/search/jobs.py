"""The jobs of a Ray cluster: searches that it runs and that somebody elsewhere began, follows and ends.

Whoever reaches this interface runs code on the cluster. The token is read by Ray from the environment or its own file;
here it is neither read nor shown.
"""

import asyncio
import logging
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bmtune.errors import ConfigError
from bmtune.errors import ResourceError
from bmtune.errors import RunFolderError
from bmtune.redaction import redacted
from bmtune.search.job_plan import JobPlan
from bmtune.search.probe import is_loopback
from bmtune.search.same_code import package_environment

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Where `ray dashboard` has the jobs of a cluster answer on this machine."""

RUN_KEY = "bmtune_run"
FOLDER_KEY = "bmtune_folder"
"""What is kept with a job besides what Ray keeps."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
CONNECT_S, ANSWER_S = 10.0, 60.0
"""Seconds that a cluster may take to be reached, and to answer."""

LOUD = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging")
"""Loggers of Ray that tell what nobody asked."""


@dataclass(frozen=True)
class Job:
    """A search that a cluster runs or ran.

    Attributes:
        id: What Ray calls it.
        run: The name of its run; the id where it is no search of bmtune.
        folder: Where the run lies on the cluster, or None.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        exit_code: Of its command, where that has ended by itself; else None.
        message: What Ray says of it.
        began: Seconds since 1970, or None.
        ended: Seconds since 1970, or None.
    """

    id: str
    run: str
    folder: str | None
    status: str
    exit_code: int | None = None
    message: str = ""
    began: float | None = None
    ended: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


class JobServer:
    """The jobs of one cluster, asked over HTTP."""

    def __init__(self, address: str) -> None:
        """Connects.

        Args:
            address: `http://HOST:PORT` of the cluster's dashboard; without `http://` it is added.

        Raises:
            ConfigError: It is no such address.
            ResourceError: Nothing answers there, it is no job server, or it does not take our token.
        """
        self.address = _checked(address)
        _reach(self.address)
        with self._told():
            self._client = _client(self.address)

    def submit(self, plan: JobPlan, folder: Path) -> Job:
        """Begins a job with the package that this process runs, so that the cluster trains with the same code.

        Args:
            plan: What it runs.
            folder: An empty folder, or one that is not there yet, in which its files are put together.

        Raises:
            ResourceError: The cluster refuses it.
        """
        folder.mkdir(exist_ok=True)
        for file in plan.files:
            place = folder / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.source, place)
        environment = {
            "working_dir": str(folder),
            **package_environment(),
            "env_vars": dict(plan.environment),
        }
        with self._told():
            found = self._client.submit_job(
                entrypoint=plan.command,
                # A run that goes on is another job with the same name.
                submission_id=f"{plan.run}-{secrets.token_hex(3)}",
                runtime_env=environment,
                metadata={RUN_KEY: plan.run, FOLDER_KEY: f"{plan.storage}/{plan.run}"},
            )
        return Job(found, plan.run, f"{plan.storage}/{plan.run}", "PENDING")

    def find(self, run: str) -> Job:
        """The job of that id, or the newest one of a run of that name.

        Raises:
            RunFolderError: There is none.
        """
        with self._told():
            jobs = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        fitting = [job for job in jobs if run in (job.id, job.run)]
        if fitting:
            return max(fitting, key=lambda job: (job.id == run, job.began or 0.0))
        names = sorted({job.run for job in jobs})
        known = f"it has had {', '.join(names[-8:])}" if names else "it has had none"
        raise RunFolderError(
            f"a job must be one of the cluster's, but {redacted(self.address)} has none called {run!r} ({known}); "
            "give another name or --address"
        )

    def follow(self, job: Job, write: Callable[[str], Any]) -> Job:
        """Hands on what the job writes, from its beginning, until it has ended; returns it as it is then.

        Raises:
            ResourceError: The connection breaks off; the job goes on.
        """

        async def hand_on() -> None:
            async for text in self._client.tail_job_logs(job.id):
                write(text)

        with self._told():
            asyncio.run(hand_on())
        return self.wait(job, 30.0)

    def log(self, job: Job) -> str:
        """What the job has written so far."""
        with self._told():
            return str(self._client.get_job_logs(job.id))

    def stop(self, job: Job) -> None:
        """Asks the job to end in good order, as SIGTERM does."""
        with self._told():
            self._client.stop_job(job.id)

    def wait(self, job: Job, patience_s: float) -> Job:
        """The job when it has ended, or when so many seconds have passed."""
        until = time.monotonic() + patience_s
        while True:
            with self._told():
                found = _job(self._client.get_job_info(job.id))
            if found.has_ended or time.monotonic() > until:
                return found
            time.sleep(0.2)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What Ray and its HTTP libraries raise becomes one sentence."""
        place = redacted(self.address)
        try:
            yield
        except ImportError as error:
            raise ResourceError(
                f"jobs need the parts of Ray that speak to a cluster, but {error.name or error} is missing; "
                "pip install 'bmtune[cluster]'"
            ) from error
        except Exception as error:
            raise _sentence(error, place) from error


def _sentence(error: Exception, place: str) -> ResourceError:
    kind, text = type(error).__name__, " ".join(str(error).split())
    if kind == "AuthenticationError":
        given = "takes another token" if "403" in text or "Forbidden" in text else "got none"
        return ResourceError(
            f"the cluster's token must be given, but {place} {given}; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, "
            "RAY_AUTH_TOKEN_PATH, or write it to ~/.ray/auth_token"
        )
    if kind == "RuntimeError" and "ray[default]" in text:
        return ResourceError(
            "jobs need the parts of Ray that speak to a cluster, but they are not installed; "
            "pip install 'bmtune[cluster]'"
        )
    return ResourceError(
        f"a cluster must have a job server, but {place} does not answer as one does: {text[:300]}; check --address, "
        "and that the head has ray[default] and was started with its dashboard"
    )


def _job(details: Any) -> Job:
    metadata = details.metadata or {}
    times = (None if stamp is None else stamp / 1000 for stamp in (details.start_time, details.end_time))
    began, ended = times
    return Job(
        id=details.submission_id,
        run=metadata.get(RUN_KEY, details.submission_id),
        folder=metadata.get(FOLDER_KEY),
        status=str(getattr(details.status, "value", details.status)),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        began=began,
        ended=ended,
    )


def _checked(address: str) -> str:
    """The address with its scheme.

    Raises:
        ConfigError: It is none of HTTP; Ray would import a module that is called like another scheme.
    """
    whole = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(whole)
        # `auto` and the like are no hosts.
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or "://" in address)
    except ValueError:
        known = False
    if not known or "@" in whole or parts.path not in ("", "/"):
        raise ConfigError(
            f"jobs need the address of the cluster's dashboard, http://HOST:PORT, but got {redacted(address)} "
            f"(command line: --address); `ray dashboard cluster.yaml` has it answer at {DEFAULT_ADDRESS}"
        )
    return whole.rstrip("/")


def _reach(address: str) -> None:
    """Knocks, because the HTTP library waits for ever.

    Raises:
        ResourceError: Nothing answers.
    """
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    assert parts.hostname is not None, "it was checked"
    try:
        socket.create_connection((parts.hostname, port), CONNECT_S).close()
    except OSError as error:
        raise ResourceError(
            f"a cluster must answer, but {address} does not ({error.strerror or error}); open the tunnel with "
            "`ray dashboard cluster.yaml`, or check --address"
        ) from error


def _client(address: str) -> Any:
    """Ray's client of this address, with its token if there is one."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        # Ray would go there instead, and not where it was told to.
        os.environ.pop(name, None)
    if "RAY_AUTH_MODE" not in os.environ and _has_token():
        os.environ["RAY_AUTH_MODE"] = "token"
    host = urlsplit(address).hostname or ""
    if is_loopback(host):
        # What is on this machine is not to be asked for by way of a proxy, which would see the token.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, (os.environ.get("no_proxy"), host)))
    from ray.job_submission import JobSubmissionClient

    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)

    class Patient(JobSubmissionClient):
        """Ray's client, which does not wait for ever."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=ANSWER_S, **options)

    return Patient(address)


def _has_token() -> bool:
    """Whether Ray would find a token."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()
