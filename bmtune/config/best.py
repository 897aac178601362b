"""`best.yaml`: the winner of a search, with all that is needed to train it again."""

from pathlib import Path
from typing import Annotated
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import ValidationError

from bmtune.config.metrics import Direction
from bmtune.config.mistakes import clean
from bmtune.config.root import TrialConfig
from bmtune.config.yaml_text import dump
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import FormatError
from bmtune.records import inner_path

FORMAT = "bmtune.best"
VERSION = 1


class _Part(BaseModel):
    # Unlike a configuration, a result may hold numbers that are not finite.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class ObjectiveEntry(_Part):
    """One metric that was searched for."""

    metric: str
    mode: Direction


class BestEntry(_Part):
    """The winning trial."""

    trial: int
    value: float
    """The objective on validation rows, at the best epoch."""
    epoch: int
    """The best epoch of the main phase."""
    metrics: dict[str, float]
    """Validation metrics of that epoch, and `test/...` ones measured once at the end."""
    config: TrialConfig
    """The configuration of the trial."""
    checkpoint: Annotated[str, AfterValidator(inner_path)]
    """The trained network, relative to the folder of the run."""


class TrialCounts(_Part):
    """How the trials of a search ended."""

    total: int
    completed: int
    pruned: int
    failed: int


class BestFile(_Part):
    """The file's content; its JSON form without format and version is what `bmtune best --json` prints."""

    format: Literal["bmtune.best"] = "bmtune.best"
    version: Literal[1] = 1
    run: str
    trainer: str
    dataset: str
    objective: tuple[ObjectiveEntry, ...]
    best: BestEntry
    trials: TrialCounts


def write_best(path: Path, best: BestFile) -> None:
    """Writes the file, replacing an older one in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(dump(best.model_dump(mode="json")), encoding="utf-8")
    fresh.replace(path)


def read_best(path: Path) -> BestFile:
    """Reads the file.

    Raises:
        FormatError: It has another format or version.
        ConfigError: It is unreadable, or a value in it breaks a rule.
    """
    raw = read_mapping(path)
    if (raw.get("format"), raw.get("version")) != (FORMAT, VERSION):
        raise FormatError(
            f"a best configuration must have the format {FORMAT} version {VERSION}, but {path} has "
            f"{raw.get('format')} version {raw.get('version')}; give the best.yaml of a search"
        )
    try:
        return BestFile.model_validate(raw)
    except ValidationError as error:
        raise clean(error, BestFile, str(path)) from error
