"""The Pareto set of a search as text: a row a trial."""

from collections.abc import Sequence

from bmtune.config.best import BestFile
from bmtune.config.constraints import parse_constraint
from bmtune.reports.wording import number
from bmtune.reports.wording import plural


def shown_metrics(best: BestFile) -> list[str]:
    """What a Pareto set is compared by: the objectives, then the metrics of constraints, each once."""
    objectives = [entry.metric for entry in best.objective]
    return list(dict.fromkeys([*objectives, *(parse_constraint(text).metric for text in best.constraints)]))


def aims_of(best: BestFile) -> str:
    """`acc max, rob max; fid <= 0.01`."""
    objectives = ", ".join(f"{entry.metric} {entry.mode}" for entry in best.objective)
    return "; ".join([objectives, *best.constraints])


def pareto_lines(best: BestFile) -> list[str]:
    """A heading and a table with a row for each trial of the Pareto set; nothing where there is one objective."""
    if not best.pareto:
        return []
    names = shown_metrics(best)
    tested = any(f"test/{name}" in entry.metrics for entry in best.pareto for name in names)
    columns = [*names, *(f"test/{name}" for name in names if tested)]
    rows = [
        [str(entry.trial), str(entry.epoch), *(_cell(entry.metrics.get(name)) for name in columns)]
        for entry in best.pareto
    ]
    heading = f"Pareto set, {plural(len(best.pareto), 'trial')} ({aims_of(best)}):"
    return [heading, *_aligned([["trial", "epoch", *columns], *rows])]


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
