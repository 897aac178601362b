"""`bmtune best`: what a run found, as YAML or as JSON."""

import json
from typing import Annotated

import typer


def best(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of YAML.")] = False,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial", min=0, metavar="N", help="Take this trial for the best one.", show_default="the winner"
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, metavar="K", help="Also list the K best trials.", show_default="the winner only"),
    ] = None,
) -> int:
    """Print the best configuration of a run, or its Pareto set: finished, still going on, or killed.

    The YAML is a best.yaml that `bmtune train` takes.
    """
    from bmtune.cli.run_folders import run_folder
    from bmtune.config.yaml_text import dump
    from bmtune.reports.pareto_text import pareto_lines
    from bmtune.reports.summary import summarize
    from bmtune.reports.wording import metrics

    summary = summarize(run_folder(run), top or 1, trial)
    if summary.notice:
        typer.echo(f"note: {summary.notice}", err=True)
    content = summary.best.model_dump(mode="json")
    shown = summary.top if top is not None else ()
    if as_json:
        promised = {key: value for key, value in content.items() if key not in ("format", "version")}
        more = {} if top is None else {"top": [entry.model_dump(mode="json") for entry in shown]}
        typer.echo(json.dumps(promised | more, indent=2))
        return 0
    # Comments, so that what is printed is a best.yaml with --top too.
    for place, entry in enumerate(shown, start=1):
        values = metrics(entry.metrics, summary.best.objective[0].metric)
        typer.echo(f"# {place}. trial {entry.trial}, epoch {entry.epoch}: {values}")
    for line in pareto_lines(summary.best):
        typer.echo(f"# {line}")
    if summary.best.confirmation is not None:
        typer.echo(f"# {summary.best.confirmation.verdict}")
    typer.echo(dump(content), nl=False)
    return 0
