"""The trainer guide's `GenerativeTrainer`."""

from collections.abc import Mapping

import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.errors import ConfigError
from bmtune.objectives import GenerativeNLL
from bmtune.objectives import check_criterion
from bmtune.trainers.course import Course
from bmtune.trainers.course import check_fit
from bmtune.trainers.course import device_name
from bmtune.trainers.course import with_recipe
from bmtune.training import Problem
from bmtune.training import make_problem


class GenerativeTrainer:
    """Trains p(x, c) by its likelihood.

    Args:
        bornmachine: The machine that is trained; it has the best epoch's cores afterwards.
        cfg: The whole configuration; cfg.trainer.generative is used.
        datahandler: The data.
        criterion: A `GenerativeNLL` of the user's; None takes the criterion that is configured.
        device: Where to train.

    Attributes:
        best: Validation metrics of the best epoch, once trained.

    Raises:
        ConfigError: Machine, configuration and data do not belong together, or the criterion returns something else
            than finite numbers, one a row.
    """

    def __init__(
        self,
        bornmachine: BornMachine,
        cfg: TrialConfig,
        datahandler: DataHandler,
        criterion: GenerativeNLL | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        own = cfg.trainer.generative
        check_fit(cfg, bornmachine, datahandler, own.batch_size, "batch_size")
        config = with_recipe(cfg, bornmachine, "generative")
        problem = make_problem(config, datahandler, device_name(device), criterion)
        if criterion is not None:
            _check(criterion, bornmachine, problem, own.batch_size)
        self._course = Course(bornmachine, problem, "gen", "gen", own.save)
        self.best: dict[str, float] = {}

    def train(self, goal: Mapping[str, float] | None = None) -> None:
        """Trains until the budget, the patience or the goal ends it, and restores the best epoch.

        Args:
            goal: Validation metrics at which to stop early, such as {"fid": 0.01}.
        """
        self.best = self._course.run(goal)


def _check(criterion: GenerativeNLL, machine: BornMachine, problem: Problem, batch_size: int) -> None:
    train = problem.splits["train"]
    leaves = Cores(*(tensor.detach().clone().to(problem.device).requires_grad_() for tensor in machine.cores))
    placed = BornMachine(machine.chain, leaves)
    wrong = check_criterion(criterion, placed, train.x[:batch_size], train.y[:batch_size])
    if wrong is not None:
        raise ConfigError(f"{wrong} (criterion {type(criterion).__name__}, first {batch_size} training rows)")
