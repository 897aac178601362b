"""What a data set holds, as a training would see it."""

from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic import ValidationError

from bmtune.config.data import DataConfig
from bmtune.config.mistakes import clean
from bmtune.config.paths import COMMAND_LINE
from bmtune.data import DataHandler
from bmtune.redaction import one_line

_UNIT = (0.0, 1.0)
_MOST_NAMES = 12


def print_facts(dataset: str, root: Path | None, label: str | None) -> int:
    """Loads, splits and scales the data set and prints its facts; returns the exit code.

    Raises:
        ConfigError: There is no such data set, or it takes no label.
        DataError: The data are missing, damaged or unfit to train on.
    """
    raw = {"dataset": dataset, "root": None if root is None else str(root), "label": label}
    try:
        config = DataConfig.model_validate(raw)
    except ValidationError as error:
        raise clean(error, DataConfig, COMMAND_LINE) from error
    for line in _facts(DataHandler(config, _UNIT)):
        typer.echo(one_line(line))
    return 0


def _facts(data: DataHandler) -> Iterator[str]:
    sizes = {name: len(split.y) for name, split in data.splits.items()}
    names = ", ".join(data.class_names[:_MOST_NAMES]) + (", ..." if data.num_classes > _MOST_NAMES else "")
    official = "; the official test split, so that test_fraction is not used" if data.has_official_test else ""
    yield f"{data.config.dataset}: {sum(sizes.values())} rows, {data.num_features} features, {data.num_classes} classes"
    yield f"from: {data.origin}"
    yield f"classes: {names}"
    yield f"split: {', '.join(f'{name} {size}' for name, size in sizes.items())}{official}"
    clipped = ", ".join(f"{name} {count}" for name, count in data.clipped.items())
    yield f"clipped: {clipped} values outside the range of their feature in train"
    yield f"constant: {data.num_constant} features have one value in train"
    yield f"content: {data.content_hash}"
