"""`bmtune doctor`: what is wrong with a run, and its repair."""

from typing import Annotated

import typer


def doctor(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its name below outputs/.")],
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Keep what can be kept of damaged records, and write study.db anew.")
    ] = False,
) -> int:
    """Check the files of a run that nobody is writing; the exit code is 1 where something is amiss."""
    from bmtune.cli.run_folders import run_folder
    from bmtune.redaction import one_line
    from bmtune.search.doctor import check_run
    from bmtune.search.doctor import repair_run

    folder = run_folder(run)
    for text in repair_run(folder) if repair else ():
        typer.echo(one_line(text))
    findings = check_run(folder)
    for text in findings:
        typer.echo(one_line(text))
    if not findings:
        typer.echo(f"{folder} is sound")
    return 1 if findings else 0
