"""The configuration of one trial; this file only assembles."""

from typing import Literal
from typing import get_args

from pydantic import Field

from bmtune.config.base import Config
from bmtune.config.born import BornConfig
from bmtune.config.data import DataConfig
from bmtune.config.metrics import MetricSchedule
from bmtune.config.training import TrainersConfig

RecipeName = Literal["classification", "gan"]
RECIPES: tuple[str, ...] = get_args(RecipeName)


class EvaluationConfig(Config):
    """How samples are drawn and compared when metrics are measured."""

    num_samples: int = Field(2000, ge=2)
    """Rows drawn for each class."""
    num_bins: int = Field(200, ge=4, le=10_000)
    """Bins of the sampling grid."""
    num_neighbours: int = Field(5, ge=1)
    """Nearest real rows that decide whether a sample is an outlier."""


class TrialConfig(Config):
    """All that determines one trial."""

    name: str = Field("bmtune", min_length=1)
    """Name of the experiment: trainers save below outputs/<name>/."""
    recipe: RecipeName = "gan"
    """Which trainer runs."""
    seed: int = Field(0, ge=0)
    """Seed of the start, the batches, the critic and the samples."""
    data: DataConfig = DataConfig()
    """The data set and its split."""
    born: BornConfig = BornConfig()
    """The network."""
    trainer: TrainersConfig = TrainersConfig()
    """The trainers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How metrics are measured."""

    @property
    def main_metrics(self) -> MetricSchedule:
        """The metrics of the phase that the recipe is about."""
        return self.trainer.ganstyle.metrics if self.recipe == "gan" else self.trainer.classification.metrics
