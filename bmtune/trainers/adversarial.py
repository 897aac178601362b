"""The trainer guide's `AdversarialTrainer`."""

from collections.abc import Mapping

import torch

from bmtune.born import BornMachine
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.trainers.course import Course
from bmtune.trainers.course import check_fit
from bmtune.trainers.course import device_name
from bmtune.trainers.course import with_recipe
from bmtune.training import make_problem


class AdversarialTrainer:
    """Trains p(c|x) to withstand attacks.

    Args:
        bornmachine: The machine that is trained; it has the best epoch's cores afterwards.
        cfg: The whole configuration; cfg.trainer.adversarial is used.
        datahandler: The data.
        device: Where to train.

    Attributes:
        best: Validation metrics of the best epoch, once trained.

    Raises:
        ConfigError: Machine, configuration and data do not belong together.
    """

    def __init__(
        self,
        bornmachine: BornMachine,
        cfg: TrialConfig,
        datahandler: DataHandler,
        device: str | torch.device = "cpu",
    ) -> None:
        own = cfg.trainer.adversarial
        check_fit(cfg, bornmachine, datahandler, own.batch_size, "batch_size")
        config = with_recipe(cfg, bornmachine, "adversarial")
        problem = make_problem(config, datahandler, device_name(device))
        self._course = Course(bornmachine, problem, "adv", "adv", own.save)
        self.best: dict[str, float] = {}

    def train(self, goal: Mapping[str, float] | None = None) -> None:
        """Trains until the budget, the patience or the goal ends it, and restores the best epoch.

        Args:
            goal: Validation metrics at which to stop early, such as {"rob": 0.9}.
        """
        self.best = self._course.run(goal)
