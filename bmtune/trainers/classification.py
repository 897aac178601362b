"""The trainer guide's `ClassificationTrainer`."""

from collections.abc import Mapping
from typing import Literal

import torch

from bmtune.born import BornMachine
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.errors import ConfigError
from bmtune.trainers.course import Course
from bmtune.trainers.course import check_fit
from bmtune.trainers.course import device_name
from bmtune.trainers.course import with_recipe
from bmtune.training import make_problem


class ClassificationTrainer:
    """Trains p(c|x).

    Args:
        bornmachine: The machine that is trained; it has the best epoch's cores afterwards.
        cfg: The whole configuration.
        stage: "pre" uses cfg.trainer.classification, "re" uses cfg.trainer.ganstyle.retrain.
        datahandler: The data.
        device: Where to train.

    Attributes:
        best: Validation metrics of the best epoch, once trained; the goal that `GANStyleTrainer` wants.

    Raises:
        ConfigError: Machine, configuration and data do not belong together, or there is no such stage.
    """

    def __init__(
        self,
        bornmachine: BornMachine,
        cfg: TrialConfig,
        stage: Literal["pre", "re"],
        datahandler: DataHandler,
        device: str | torch.device = "cpu",
    ) -> None:
        if stage not in ("pre", "re"):
            raise ConfigError(f"stage must be pre or re, but got {stage!r}")
        own = cfg.trainer.classification if stage == "pre" else cfg.trainer.ganstyle.retrain
        check_fit(cfg, bornmachine, datahandler, own.batch_size, "batch_size")
        config = with_recipe(cfg, bornmachine, "classification", classification=own)
        problem = make_problem(config, datahandler, device_name(device))
        self._course = Course(bornmachine, problem, "pre", stage, own.save)
        self.best: dict[str, float] = {}

    def train(self, goal: Mapping[str, float] | None = None) -> None:
        """Trains until the budget, the patience or the goal ends it, and restores the best epoch.

        Args:
            goal: Validation metrics at which to stop early, such as {"acc": 0.95}.
        """
        self.best = self._course.run(goal)
