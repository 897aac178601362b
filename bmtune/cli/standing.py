"""Runs and jobs that are asked how far they are, followed, and ended."""

import shlex
import signal
import sys

import typer

from bmtune.cli.run_folders import run_folder
from bmtune.config.names import is_address
from bmtune.errors import ConfigError
from bmtune.redaction import one_line
from bmtune.redaction import redacted
from bmtune.reports.standing import standing
from bmtune.search.job_plan import cluster_storage
from bmtune.search.jobs import Job
from bmtune.search.jobs import JobServer
from bmtune.search.local_run import is_being_written
from bmtune.search.local_run import stop_run
from bmtune.search.local_run import writer

LAST_LINES = 5
"""Of what a job has written, that its status shows."""

STOP_S = 40.0
"""Seconds that a job may take to end when it was asked to; Ray kills it after 20."""

INTERRUPTED = 128 + signal.SIGINT
"""What shells report for a program that Ctrl-C ended."""


def show_run(run: str, *, follows: bool) -> int:
    """Prints where a run of this machine stands; returns the exit code.

    Raises:
        BmtuneError: There is no such run, or it is to be followed.
    """
    if follows:
        raise ConfigError(
            "--follow shows what a job of a cluster writes, but there is no --address (command line: --follow); "
            "give it, or look at the output of the search itself"
        )
    folder = run_folder(run)
    lines = standing(folder)
    going_on = is_being_written(folder)
    who = writer(folder)
    typer.echo(one_line(f"{folder}: {'running' if going_on else 'not running'}{f', {who}' if who else ''}"))
    for line in lines:
        typer.echo(one_line(line))
    return 0


def stop_local(run: str) -> int:
    """Ends a search of this machine; returns the exit code.

    Raises:
        BmtuneError: There is none, or it cannot be ended from here.
    """
    folder = run_folder(run)
    standing(folder)
    found = stop_run(folder)
    typer.echo(one_line(f"{found} has ended {folder}; {_resumed('bmtune search', str(folder))} goes on with it"))
    return 0


def show_job(run: str, address: str, *, follows: bool) -> int:
    """Prints how a job of a cluster is, and what it wrote last; returns the exit code.

    Raises:
        BmtuneError: There is no such job, or no such cluster.
    """
    server = JobServer(address)
    job = server.find(run)
    if follows:
        return follow_job(server, job, address)
    code = f" with exit code {job.exit_code}" if job.status == "FAILED" and job.exit_code is not None else ""
    typer.echo(one_line(f"{job.run}: {job.status.lower()}{code}, job {job.id}"))
    if job.folder is not None:
        where = "" if is_address(job.folder) else " on the head of the cluster"
        typer.echo(one_line(f"folder: {job.folder}{where}"))
    for line in _last_events(server.log(job)):
        typer.echo(f"  {_shown(line)}")
    return 0


def stop_job(run: str, address: str) -> int:
    """Ends a job of a cluster in good order; returns the exit code.

    Raises:
        BmtuneError: There is no such job, or no such cluster.
    """
    server = JobServer(address)
    job = server.find(run)
    if job.has_ended:
        typer.echo(one_line(f"{job.run} has ended before: {job.status.lower()}, job {job.id}"))
        return 0
    server.stop(job)
    job = server.wait(job, STOP_S)
    if not job.has_ended:
        typer.echo(one_line(f"{job.run} was asked to end and has not yet: {how_to_reach(job, address)}"))
        return 1
    again = f"; {_resumed('bmtune submit', job.folder)} goes on with it" if job.folder is not None else ""
    typer.echo(one_line(f"{job.run} is {job.status.lower()}{again}"))
    return 0


def follow_job(server: JobServer, job: Job, address: str) -> int:
    """Shows what a job writes until it has ended; returns the exit code of its search.

    Raises:
        BmtuneError: The connection breaks off.
    """
    try:
        job = server.follow(job, _write)
    except KeyboardInterrupt:
        typer.echo(f"\n{job.run} goes on: {how_to_reach(job, address)}", err=True)
        return INTERRUPTED
    if job.status == "SUCCEEDED":
        return 0
    if job.status != "FAILED":
        typer.echo(one_line(f"{job.run} is {job.status.lower()}: {how_to_reach(job, address)}"), err=True)
        return 1
    if job.exit_code is None:
        typer.echo(one_line(redacted(f"the job failed before its search began: {job.message}")), err=True)
    return job.exit_code or 1


def how_to_reach(job: Job, address: str) -> str:
    """What to type to see more of a job, or to end it."""
    where = redacted(address)
    return (
        f"follow it with bmtune status {job.run} --address {where} --follow, "
        f"end it with bmtune stop {job.run} --address {where}"
    )


def _resumed(command: str, folder: str) -> str:
    """The command that goes on with a run, which lies in a folder or at an address."""
    storage, _, name = folder.rpartition("/")
    default = storage in ("outputs", cluster_storage(None))
    return f"{command} --resume --name {name}" + ("" if default else f" --storage {shlex.quote(storage or '.')}")


def _last_events(log: str) -> list[str]:
    """The last lines of a log before the configuration that a search ends with."""
    return log.partition("\n# the best configuration")[0].splitlines()[-LAST_LINES:]


def _write(text: str) -> None:
    """A piece of the log as it comes, without what a terminal would obey."""
    sys.stdout.write("\n".join(map(_shown, text.split("\n"))))
    sys.stdout.flush()


def _shown(line: str) -> str:
    """A line of a log, whose tabs are spaces."""
    return one_line(redacted(line.expandtabs()))
