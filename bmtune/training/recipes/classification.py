"""Classification: training of p(c|x), as pre-training and as retraining."""

from typing import Any
from typing import Literal

from torch import Tensor

from bmtune.born import Cores
from bmtune.born import amplitudes_and_pull
from bmtune.config.lanes import SECTIONS
from bmtune.config.paths import get
from bmtune.config.training import ClassificationConfig
from bmtune.objectives import brier
from bmtune.objectives import brier_and_slope
from bmtune.objectives import class_nll
from bmtune.objectives import class_nll_and_slope
from bmtune.training.engine import Engine
from bmtune.training.player import Params
from bmtune.training.problem import Problem
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.recipes.base import Player
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import Step
from bmtune.training.rows import RowBatches
from bmtune.training.rows import embedded
from bmtune.training.rows import row_batches

CRITERIA = {"negative log-likelihood": class_nll, "brier": brier}
WITH_SLOPES = {"negative log-likelihood": class_nll_and_slope, "brier": brier_and_slope}


class Classification:
    """Training of p(c|x) by stochastic gradients (Stoudenmire and Schwab 2016, arXiv 1605.05775).

    Args:
        stage: "pre" reads the configuration of classification, "re" that of retraining.
    """

    def __init__(self, stage: Literal["pre", "re"]) -> None:
        self.stage = stage

    def _config(self, problem: Problem) -> ClassificationConfig:
        section: ClassificationConfig = get(problem.config, SECTIONS[self.stage])
        return section

    def rules(self, problem: Problem) -> PhaseRules:
        """See `Recipe.rules`."""
        config = self._config(problem)
        return PhaseRules(config.max_epoch, config.patience, config.stop_crit, config.metrics, config.watch_freq)

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """See `Recipe.start`: the optimizer starts afresh in every phase."""
        return (Player.start(self._config(problem).optimizer, tuple(cores)),)

    def batches(self, problem: Problem, seed: int, epoch: int) -> RowBatches:
        """See `Recipe.batches`: the numbers (B,) of its rows."""
        return row_batches(problem, self._config(problem).batch_size, seed)

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """See `Recipe.step`."""
        criterion = WITH_SLOPES[self._config(problem).criterion.name]

        def loss(params: Params, phi: Tensor, labels: Tensor) -> tuple[Tensor, Params]:
            mantissa, _, pull = amplitudes_and_pull(Cores(*params), phi)
            value, slope = criterion(mantissa, labels)
            return value, tuple(pull(slope))

        (born,) = players
        value, grads = engine.value_and_slopes(loss, born, *embedded(problem, *batch))
        trained = engine.update(problem, f"{SECTIONS[self.stage]}.optimizer", born, grads)
        return Step((trained,), {"train/loss": value}, grads)
