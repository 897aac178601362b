"""A comparison as one HTML page."""

from typing import Any

from bmtune.reports.comparison import Axis
from bmtune.reports.comparison import Comparison
from bmtune.reports.comparison import best_at
from bmtune.reports.comparison import mark_text
from bmtune.reports.comparison import marks_of
from bmtune.reports.html import render

SCRIPTS = ("figure.js", "compare.js")


def comparison_page(comparison: Comparison) -> str:
    """The page: one table, and the best value so far of each run against epochs and against time."""
    data: dict[str, Any] = {
        "objective": {"name": comparison.metric, "mode": comparison.mode},
        # What the shared script of figures asks for; there are no single trials here.
        "trials": [],
        "base": None,
        "parameters": [],
        "runs": [
            {
                "name": run.label,
                "epochs": run.history.progress.num_epochs,
                "seconds": round(run.history.seconds, 3),
                "found": [[found.epochs, round(found.seconds, 3), found.value] for found in run.history.incumbents],
            }
            for run in comparison.runs
        ],
    }
    context = {
        "comparison": comparison,
        "data": data,
        "axes": [_axis(comparison, "epochs"), _axis(comparison, "seconds")],
    }
    return render("compare.html", SCRIPTS, context)


def _axis(comparison: Comparison, axis: Axis) -> dict[str, Any]:
    marks = marks_of(comparison, axis)
    return {
        "name": axis,
        "what": "epochs of all trials and phases" if axis == "epochs" else "length of the search",
        "marks": [mark_text(mark, axis) for mark in marks],
        "rows": [best_at(run.history, axis, marks) for run in comparison.runs],
    }
