"""Files of a run that a dashboard shows beside its trials: pictures, and configurations as YAML. Nothing is copied."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL
from uuid import uuid5

from optuna.artifacts.exceptions import ArtifactNotFound

MOST_PICTURES = 12
"""Pictures of a trial that are attached, from its first to its last in equal distances."""


class Attachments:
    """An artifact store of Optuna's kind that nobody can write to.

    Args:
        folder: The run folder.
        configuration: The configuration of a trial as YAML.
    """

    def __init__(self, folder: Path, configuration: Callable[[int], str]) -> None:
        self._folder = folder
        self._configuration = configuration
        self._pictures: dict[str, Path] = {}
        self._configurations: dict[str, int] = {}

    def names_of(self, trial: int) -> dict[str, str]:
        """The names of all files of a trial, by the ids under which they can be read from now on."""
        key = _key(f"{trial}/config.yaml")
        self._configurations[key] = trial
        pictures = {_key(f"{trial}/{path.name}"): path for path in _pictures(self._folder, trial)}
        self._pictures |= pictures
        return {key: f"trial-{trial}.yaml"} | {found: path.name for found, path in pictures.items()}

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The content of a file.

        Raises:
            ArtifactNotFound: No trial has a file of this id, or the search has removed it.
        """
        if artifact_id in self._configurations:
            return BytesIO(self._configuration(self._configurations[artifact_id]).encode())
        try:
            return self._pictures[artifact_id].open("rb")
        except (KeyError, FileNotFoundError) as error:
            raise ArtifactNotFound(f"no trial has the file {artifact_id}") from error

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """See `open_reader`: this is only for reading."""
        raise PermissionError("the files of a run belong to its search")

    def remove(self, artifact_id: str) -> None:
        """See `open_reader`: this is only for reading."""
        raise PermissionError("the files of a run belong to its search")


def _key(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


def _pictures(folder: Path, trial: int) -> list[Path]:
    found = sorted((folder / "checkpoints" / f"trial-{trial:05d}" / "pictures").glob("*.png"), key=_order)
    if len(found) <= MOST_PICTURES:
        return found
    return [found[round(place * (len(found) - 1) / (MOST_PICTURES - 1))] for place in range(MOST_PICTURES)]


def _order(path: Path) -> tuple[bool, str]:
    """Those of pre-training come first; their names tell the epochs."""
    return "-pre-" not in path.name, path.name
