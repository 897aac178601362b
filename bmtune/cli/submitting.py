"""A search that becomes a job: its words checked, its files put together, its log shown."""

import tempfile
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
import typer.main

from bmtune.cli.assignments import split_amounts
from bmtune.cli.assignments import split_assignments
from bmtune.cli.durations import parse_duration
from bmtune.cli.search import search
from bmtune.cli.standing import follow_job
from bmtune.cli.standing import how_to_reach
from bmtune.redaction import one_line
from bmtune.search.copy_address import storage_of
from bmtune.search.job_plan import JobPlan
from bmtune.search.job_plan import plan_job
from bmtune.search.jobs import JobServer
from bmtune.search.request import SearchRequest


def submit_search(words: Sequence[str], address: str, *, follows: bool) -> int:
    """Submits a search and shows what it writes; returns the exit code.

    Args:
        words: What `bmtune search` takes.
        address: Where the dashboard of the cluster answers.
        follows: Whether to stay until the job has ended.

    Raises:
        BmtuneError: The search breaks a rule, or the cluster does not take it.
    """
    given, options = parsed(words)
    with tempfile.TemporaryDirectory(prefix="bmtune-job-") as scratch:
        plan = plan_job(request_of(given), given, options, Path.cwd(), Path(scratch))
        if given.get("dry_run"):
            return _show(plan)
        server = JobServer(address)
        job = server.submit(plan, Path(scratch) / "job")
    typer.echo(f"{job.run} is job {job.id} and will lie in {job.folder} on the head of the cluster")
    if not follows:
        typer.echo(how_to_reach(job, address))
        return 0
    return follow_job(server, job, address)


def parsed(words: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the words of a search give, by names in the program, and the option of each name ("" for an argument).

    Raises:
        typer.TyperException: `bmtune search` would not take the words.
    """
    app = typer.Typer(add_completion=False)
    app.command()(search)
    command = typer.main.get_command(app)
    context = command.make_context("bmtune submit", list(words))
    named = {parameter.name: parameter for parameter in command.params if parameter.name is not None}
    options = {
        name: parameter.opts[0] if parameter.opts[0].startswith("-") else "" for name, parameter in named.items()
    }
    # What was left at its default is the cluster's to decide.
    given = {
        name: value
        for name, value in context.params.items()
        if name in options and (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    return given, options


def request_of(given: Mapping[str, Any]) -> SearchRequest:
    """The request that `bmtune search` would make of these values."""
    values = dict(given)
    if "time_budget" in values:
        values["time_budget_s"] = parse_duration(values["time_budget"], "--time-budget")
    if "report_every" in values:
        values["report_every_s"] = values["report_every"]
    if "pre_cache" in values:
        values["pre_cache"] = str(values["pre_cache"])
    if "storage" in values:
        values["storage"], values["copy_at"] = storage_of(values["storage"])
    if "resource" in values:
        values["resources"] = split_amounts(values["resource"])
    values |= {name: tuple(values[name]) for name in ("metrics", "constraints", "enqueue") if name in values}
    values["overrides"] = split_assignments(values.get("assignments", ()))
    known = {field.name for field in fields(SearchRequest)}
    return SearchRequest(**{"trainer": None} | {name: value for name, value in values.items() if name in known})


def _show(plan: JobPlan) -> int:
    typer.echo(one_line(f"# {plan.storage}/{plan.run} would be written on the head of the cluster by"))
    typer.echo(one_line(plan.command))
    for file in plan.files:
        typer.echo(one_line(f"# {file.name} would go along: {file.source}"))
    return 0
