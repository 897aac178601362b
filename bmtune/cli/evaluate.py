"""`bmtune evaluate`: what a trained model is good for."""

from pathlib import Path
from typing import Annotated

import typer

from bmtune.cli.assignments import split_assignments


def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Folder of a best epoch, or of a run that has one.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also write the JSON object here.", show_default="not written"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a value below evaluation.; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="Seed of samples and attacks.", show_default="the trial's"),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=2, metavar="N", help="Most test rows for detection and purification.")
    ] = 1000,
    false_alarms: Annotated[
        float,
        typer.Option(
            "--false-alarms", min=0, max=1, metavar="SHARE", help="Validation rows that detection may suspect."
        ),
    ] = 0.05,
    strong: Annotated[
        bool, typer.Option("--strong", help="Also measure accuracy under the strongest attacks.")
    ] = False,
) -> int:
    """Evaluate a trained model on its test rows: accuracy, attacks, detection, purification, membership.

    CHECKPOINT is what `bmtune train` or a search has written.
    """
    from bmtune.cli.evaluating import Wish
    from bmtune.cli.evaluating import evaluate_checkpoint

    wish = Wish(split_assignments(assignments or []), seed, rows, false_alarms, strong)
    return evaluate_checkpoint(checkpoint, wish, output=output, as_json=as_json)
