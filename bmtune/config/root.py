"""The configuration of one trial; this file only assembles."""

from collections.abc import Mapping
from typing import Annotated
from typing import Literal
from typing import get_args

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator

from bmtune.config.adversarial import AdversarialConfig
from bmtune.config.adversarial import AttackConfig
from bmtune.config.aims import aims_of
from bmtune.config.base import Config
from bmtune.config.born import BornConfig
from bmtune.config.constraints import ConstraintText
from bmtune.config.data import DataConfig
from bmtune.config.generative import GenerativeConfig
from bmtune.config.metrics import MetricName
from bmtune.config.metrics import MetricSchedule
from bmtune.config.trainers import TrainersConfig
from bmtune.config.training import ClassificationConfig
from bmtune.config.training import GANStyleConfig
from bmtune.records import Aims
from bmtune.records import inner_path

RecipeName = Literal["classification", "gan", "generative", "adversarial"]
RECIPES: tuple[str, ...] = get_args(RecipeName)

MAIN_TRAINER: Mapping[str, str] = {
    "classification": "classification",
    "gan": "ganstyle",
    "generative": "generative",
    "adversarial": "adversarial",
}
"""The field of `trainer` that configures the phase which a recipe is about."""


class BestEpochConfig(Config):
    """Which epoch of the main phase is the best one where stop_crit alone does not say it.

    Then it is the latest one that no epoch before it equals or beats: see `bmtune.records.pareto`.
    """

    objectives: tuple[MetricName, ...] = ()
    """Objectives besides stop_crit, the first one."""
    constraints: tuple[ConstraintText, ...] = ()
    """What an epoch should satisfy, such as fid <= 0.01."""


class EvaluationConfig(Config):
    """How samples are drawn and compared when metrics are measured."""

    num_samples: int = Field(2000, ge=2)
    """Rows drawn for each class."""
    num_bins: int = Field(200, ge=4, le=10_000)
    """Bins of the sampling grid."""
    num_neighbours: int = Field(5, ge=1)
    """Nearest real rows that decide whether a sample is an outlier."""
    strengths: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field((0.05, 0.1, 0.2), min_length=1)
    """Radii of the attacks behind rob and rob_strong, as fractions of the interval's length."""
    attack: AttackConfig = AttackConfig(steps=20)
    """The attack behind rob."""


class TrialConfig(Config):
    """All that determines one trial."""

    name: Annotated[str, AfterValidator(inner_path)] = Field("bmtune", min_length=1)
    """Name of the experiment: trainers save below outputs/<name>/."""
    recipe: RecipeName = "gan"
    """Which trainer runs."""
    seed: int = Field(0, ge=0)
    """Seed of the start, the batches, the critic and the samples."""
    pre_seed: int | None = Field(None, ge=0)
    """Seed of the start and of the `pre` phase where one comes before the main phase; None: `seed`."""
    data: DataConfig = DataConfig()
    """The data set and its split."""
    born: BornConfig = BornConfig()
    """The network."""
    trainer: TrainersConfig = TrainersConfig()
    """The trainers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How metrics are measured."""
    best_epoch: BestEpochConfig = BestEpochConfig()
    """What decides, besides stop_crit, which epoch is the best; a search sets it."""

    @model_validator(mode="after")
    def _what_decides_is_measured(self) -> "TrialConfig":
        always = [name for name, every in self.main_metrics if every == 1]
        for name in () if self.aims.is_plain else self.aims.names:
            if name not in always:
                raise ValueError(
                    f"what decides which epoch is the best must be measured at every epoch, but {name!r} of best_epoch "
                    f"is not among the metrics that are ({', '.join(always)}); add it to metrics"
                )
        return self

    @property
    def main_trainer(self) -> ClassificationConfig | GANStyleConfig | GenerativeConfig | AdversarialConfig:
        """The configuration of the phase that the recipe is about."""
        main: ClassificationConfig | GANStyleConfig | GenerativeConfig | AdversarialConfig = getattr(
            self.trainer, MAIN_TRAINER[self.recipe]
        )
        return main

    @property
    def aims(self) -> Aims:
        """What epochs of the main phase are compared by."""
        more = self.best_epoch
        return aims_of((self.main_trainer.stop_crit, *more.objectives), more.constraints)

    @property
    def pretrains(self) -> bool:
        """Whether a `pre` phase comes before the main one."""
        main = self.main_trainer
        return main.pretrain if isinstance(main, GenerativeConfig | AdversarialConfig) else self.recipe == "gan"

    @property
    def start_seed(self) -> int:
        """The seed of the start: that of pre-training where there is one."""
        return self.pre_seed if self.pretrains and self.pre_seed is not None else self.seed

    def seed_of(self, phase: str) -> int:
        """The seed that a phase derives all of its own from."""
        return self.start_seed if phase == "pre" else self.seed

    @property
    def batch_size_paths(self) -> tuple[str, ...]:
        """The dotted paths of all batch sizes that count rows of the training split."""
        main = f"trainer.{MAIN_TRAINER[self.recipe]}"
        own = f"{main}.retrain.batch_size" if self.recipe == "gan" else f"{main}.batch_size"
        return ("trainer.classification.batch_size", own) if self.pretrains else (own,)

    @property
    def main_metrics(self) -> MetricSchedule:
        """The metrics of the phase that the recipe is about."""
        return self.main_trainer.metrics
