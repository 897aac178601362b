"""`best.yaml`: the winner of a search, with all that is needed to train it again."""

from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import JsonValue
from pydantic import SerializerFunctionWrapHandler
from pydantic import ValidationError
from pydantic import model_serializer

from bmtune.config.constraints import ConstraintText
from bmtune.config.metrics import Direction
from bmtune.config.mistakes import clean
from bmtune.config.root import TrialConfig
from bmtune.config.yaml_text import dump
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import FormatError
from bmtune.records import inner_path

FORMAT = "bmtune.best"
VERSION = 3
READABLE = (1, 2, 3)
"""Versions that this release reads: the first knew no confirmation, the second no several objectives."""


MOST_PARETO = 200
"""Entries of a Pareto set that the file has; more would make it larger than a file may be that is read."""


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
    """The objective on validation rows, at the best epoch; the first of several."""
    epoch: int
    """The best epoch of the main phase."""
    metrics: dict[str, float]
    """Validation metrics of that epoch, and `test/...` ones measured once at the end."""
    config: TrialConfig
    """The configuration of the trial."""
    checkpoint: Annotated[str, AfterValidator(inner_path)]
    """The trained network, relative to the folder of the run."""


class ParetoEntry(_Part):
    """A trial that no other one beats; `bmtune best RUN --trial N` has its configuration."""

    trial: int
    epoch: int
    """The best epoch of the main phase."""
    metrics: dict[str, float]
    """Validation metrics of that epoch, and `test/...` ones where they were measured at the end."""
    params: dict[str, JsonValue]
    """The searched values, by dotted path."""
    checkpoint: Annotated[str, AfterValidator(inner_path)]
    """The trained network, relative to the folder of the run."""


class TrialCounts(_Part):
    """How the trials of a search ended."""

    total: int
    completed: int
    pruned: int
    failed: int


class IntervalEntry(_Part):
    """An estimate and its interval, which holds the truth in 95 of 100 cases."""

    value: float
    low: float
    high: float


class ConfirmedEntry(_Part):
    """One configuration that was trained again with fresh seeds."""

    trial: int
    values: tuple[float | None, ...]
    """The objective on validation rows by seed; None: that training failed."""
    mean: IntervalEntry | None
    """Their mean, with Student's interval; None where one failed."""
    sd: float | None
    """Their standard deviation."""


class ComparisonEntry(_Part):
    """The winner against another configuration, paired by seed."""

    trial: int
    difference: float
    """Mean of the winner's values minus those of this one."""
    p: float
    """Two-sided p-value of the paired t-test."""
    p_corrected: float
    """The same, corrected for all pairs (Holm)."""
    differs: bool
    """Whether the difference is one, at 5 % of false alarms over all comparisons."""


class ConfirmationEntry(_Part):
    """How the best configurations did on seeds that the search has not seen."""

    verdict: str
    """All of it in one sentence."""
    metric: str
    trial: int
    """The winner: of those that ended on all seeds the one with the best mean."""
    search_best: int
    """The trial that the search found best."""
    base: int
    """The trial that has the base configuration."""
    estimate: IntervalEntry
    """The winner's objective, with what choosing it did to its mean taken back."""
    seeds: tuple[int, ...]
    trials: tuple[ConfirmedEntry, ...]
    """In the order in which the search ranked them."""
    comparisons: tuple[ComparisonEntry, ...]
    test: dict[str, IntervalEntry]
    """The winner's metrics on test rows, over its models of all seeds; nothing was chosen by them."""
    kept: str
    """Which of the winner's models is the one that was kept."""


class BestFile(_Part):
    """The file's content; its JSON form without format and version is what `bmtune best --json` prints."""

    format: Literal["bmtune.best"] = "bmtune.best"
    version: Literal[1, 2, 3] = 3
    run: str
    trainer: str
    dataset: str
    objective: tuple[ObjectiveEntry, ...]
    constraints: tuple[ConstraintText, ...] = ()
    best: BestEntry
    """The winner; with several objectives the first of the Pareto set."""
    trials: TrialCounts
    confirmation: ConfirmationEntry | None = None
    """None: nothing was confirmed."""
    pareto: tuple[ParetoEntry, ...] = ()
    """With several objectives: the trials that no other one beats, at most `MOST_PARETO`; in any beginning of their
    order they are spread over the whole set."""

    @model_serializer(mode="wrap")
    def _without_what_is_not(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With one objective and no constraint the file says nothing of either."""
        found: dict[str, Any] = handler(self)
        for name in ("constraints", "pareto"):
            if not found[name]:
                del found[name]
        return found


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
    if raw.get("format") != FORMAT or raw.get("version") not in READABLE:
        raise FormatError(
            f"a best configuration must have the format {FORMAT} version {' or '.join(map(str, READABLE))}, but "
            f"{path} has {raw.get('format')} version {raw.get('version')}; give the best.yaml of a search"
        )
    try:
        return BestFile.model_validate(raw)
    except ValidationError as error:
        raise clean(error, BestFile, str(path)) from error
