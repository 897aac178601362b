"""One download, with its progress."""

from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import DownloadColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn

from bmtune.config.data_folders import data_root
from bmtune.config.datasets import IMAGES
from bmtune.config.datasets import UCR_PREFIX
from bmtune.config.datasets import check_dataset
from bmtune.data.fetching import fetch_images
from bmtune.data.fetching import torchvision_mirrors
from bmtune.data.images import IMAGE_SETS
from bmtune.errors import DataError


def fetch_set(name: str, root: Path | None) -> int:
    """Downloads what is missing of the image set `name`; returns the exit code.

    Raises:
        DataError: There is nothing to fetch under this name, or the download failed.
    """
    _check_fetchable(name)
    images = IMAGE_SETS[name]
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def on_bytes(file: str, done: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=done)

        folder = fetch_images(images, data_root(root), torchvision_mirrors(images), on_bytes)
    done = f"{len(bars)} files downloaded" if bars else "all files were there"
    typer.echo(f"{name}: {folder}; {done}, SHA-256 as published")
    return 0


def _check_fetchable(name: str) -> None:
    if name in IMAGES:
        return
    try:
        check_dataset(name)
    except ValueError as error:
        raise DataError(f"{error} (command line: NAME)") from error
    if name.startswith(UCR_PREFIX):
        hint = "get it from timeseriesclassification.com, and see bmtune data list for its folder"
    else:
        hint = "it needs no fetching"
    raise DataError(f"a data set to fetch must be {' or '.join(IMAGES)}, but got {name!r} (command line: NAME); {hint}")
