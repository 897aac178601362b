"""Which column of a user's file holds the labels."""

from collections.abc import Sequence
from pathlib import Path

from bmtune.config.mistakes import did_you_mean
from bmtune.errors import DataError

LABEL = "label"
"""The column that holds the labels where no other is named."""


def label_column(names: Sequence[str], label: str | None, path: Path) -> int:
    """The position of the labels' column: the one called `label`, else the one called "label", else the last.

    Args:
        names: The columns in order.
        label: The name that the user gave, or None.
        path: The file, for messages.

    Raises:
        DataError: No column, or more than one, has the name; or there is no other column.
    """
    if len(names) < 2:
        raise DataError(
            f"a file must have a column of features and one of labels, but {path} has {len(names)}; "
            "separate the columns of a .csv file with commas or semicolons, and those of a .tsv file with tabs"
        )
    wanted = LABEL if label is None else label
    found = [position for position, name in enumerate(names) if name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"one column must have the labels, but {path} has {len(found)} called {wanted!r}; rename one")
    if label is None:
        return len(names) - 1
    raise DataError(
        f"the column of the labels must be there, but {path} has no {label!r} (data.label); "
        f"{did_you_mean(label, names)}"
    )
