"""`bmtune doctor`: what is wrong with a run, and its repair; what is wrong with a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from bmtune.errors import ConfigError


def doctor(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Folder of a run, or its name below outputs/.", show_default="needed, but for --address"
        ),
    ] = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Keep what can be kept of damaged records, and write study.db anew.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDR",
            help="Ray cluster to check instead: auto, or its address. Nothing of it is changed.",
            show_default="none",
        ),
    ] = None,
    storage: Annotated[
        Path, typer.Option("--storage", metavar="DIR", help="Folder of all runs, which a cluster's machines may see.")
    ] = Path("outputs"),
) -> int:
    """Check the files of a run that nobody is writing, or a cluster; the exit code is 1 where something is amiss."""
    if (run is None) == (address is None):
        given = "both" if run is not None else "neither"
        raise ConfigError(
            f"either a run or a cluster is checked, but got {given} (command line: RUN, --address); give one of them"
        )
    return _check_run(run, repair) if run is not None else _check_cluster(str(address), storage)


def _check_run(run: str, repair: bool) -> int:  # noqa: FBT001 - as the command line has it
    from bmtune.cli.run_folders import run_folder
    from bmtune.search.doctor import check_run
    from bmtune.search.doctor import repair_run

    folder = run_folder(run)
    for text in repair_run(folder) if repair else ():
        _say(text)
    findings = check_run(folder)
    for text in findings:
        _say(text)
    if not findings:
        typer.echo(f"{folder} is sound")
    return 1 if findings else 0


def _check_cluster(address: str, storage: Path) -> int:
    from bmtune.search.cluster_doctor import check_cluster

    found = check_cluster(address, storage)
    for text in (*found.facts, *found.findings):
        _say(text)
    if not found.findings:
        typer.echo("the cluster is sound")
    return 1 if found.findings else 0


def _say(text: str) -> None:
    from bmtune.redaction import one_line

    typer.echo(one_line(text))
