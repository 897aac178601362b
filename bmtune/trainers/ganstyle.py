"""The trainer guide's `GANStyleTrainer`."""

from collections.abc import Mapping

import torch

from bmtune.born import BornMachine
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.errors import ConfigError
from bmtune.trainers.course import Course
from bmtune.trainers.course import check_fit
from bmtune.trainers.course import device_name
from bmtune.trainers.course import with_recipe
from bmtune.trainers.critic import Critic
from bmtune.trainers.evaluator import PerformanceEvaluator
from bmtune.training import make_problem


class GANStyleTrainer:
    """Trains the generator against a critic, and the classifier again where it suffers.

    Args:
        bornmachine: The machine that is trained; it has the best epoch's cores afterwards.
        cfg: The whole configuration; cfg.trainer.ganstyle is used.
        datahandler: The data.
        critic: The critic to play against; it is left as it is, a copy is trained.
        device: Where to train.
        best: What the classifier has reached, such as `ClassificationTrainer.best`; measured where it is not given.

    Attributes:
        goal: The accuracy or class loss that retraining aims at.
        best: Validation metrics of the best epoch, once trained.

    Raises:
        ConfigError: Machine, configuration, data and critic do not belong together.
    """

    def __init__(
        self,
        bornmachine: BornMachine,
        cfg: TrialConfig,
        datahandler: DataHandler,
        critic: Critic,
        device: str | torch.device = "cpu",
        best: Mapping[str, float] | None = None,
    ) -> None:
        own, config = cfg.trainer.ganstyle, with_recipe(cfg, bornmachine, "gan")
        check_fit(cfg, bornmachine, datahandler, own.retrain.batch_size, "retrain.batch_size")
        problem = make_problem(config, datahandler, device_name(device), critic=critic.tensors)
        if problem.critic_shape != critic.shape:
            raise ConfigError(
                f"the critic must be built from cfg.trainer.ganstyle and the same data, but got {critic.shape} "
                f"where {problem.critic_shape} is configured"
            )
        crit = own.retrain_crit
        reached = dict(best or {})
        if crit not in reached:
            evaluator = PerformanceEvaluator(cfg, datahandler, own, device)
            reached = evaluator.evaluate(bornmachine, "valid", epoch=1)
        self.goal: dict[str, float] = {crit: reached[crit]}
        self._course = Course(bornmachine, problem, "gan", "gan", own.save)
        self.best: dict[str, float] = {}

    def train(self, goal: Mapping[str, float] | None = None) -> None:
        """Trains until the budget, the patience or the goal ends it, and restores the best epoch.

        Args:
            goal: Validation metrics at which to stop early, such as {"fid": 0.01}.
        """
        self.best = self._course.run(goal, self.goal)
