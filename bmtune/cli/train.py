"""`bmtune train`: one configuration, its whole budget."""

from pathlib import Path
from typing import Annotated

import typer

from bmtune.cli.assignments import split_assignments


def train(
    best: Annotated[Path, typer.Argument(metavar="BEST.YAML", help="The best.yaml of a run.")],
    *,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a value, by dotted path; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="Seed of the training.", show_default="that of the trial"),
    ] = None,
    storage: Annotated[Path, typer.Option("--storage", metavar="DIR", help="Folder of all runs.")] = Path("outputs"),
) -> int:
    """Train the configuration in a best.yaml for its whole budget and keep its best epoch.

    The checkpoint goes to DIR/<name>/models/<recipe>-seed-<seed>/.
    """
    from bmtune.cli.training import train_and_save
    from bmtune.config.best import read_best
    from bmtune.config.paths import with_values
    from bmtune.config.yaml_text import parse

    found = read_best(best)
    # The run's name, so that the training lies beside the search that it came from.
    values = {
        "name": found.run,
        **{path: parse(text, f"--set {path}") for path, text in split_assignments(assignments or [])},
    }
    if seed is not None:
        # Another seed is one for all of the training.
        values |= {"seed": seed} if "pre_seed" in values else {"seed": seed, "pre_seed": None}
    return train_and_save(with_values(found.best.config, values), storage)
