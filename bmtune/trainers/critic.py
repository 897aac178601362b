"""The trainer guide's `Critic`."""

import torch
from torch import Tensor

from bmtune.config.training import GANStyleConfig
from bmtune.critics import CriticShape
from bmtune.critics import critic_scores
from bmtune.critics import start_critic
from bmtune.data import DataHandler


class Critic:
    """A network that tells generated rows from real ones.

    Args:
        cfg: The configuration of GAN-style training, cfg.trainer.ganstyle.
        datahandler: The data that it is to judge.
        device: Where it lives.
        seed: Seed of its start.

    Attributes:
        shape: What is fixed about it.
        tensors: Weight and bias of each layer in turn.
    """

    def __init__(
        self,
        cfg: GANStyleConfig,
        datahandler: DataHandler,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ) -> None:
        self.shape = CriticShape.from_config(
            cfg.critic, datahandler.num_features, datahandler.num_classes, datahandler.interval
        )
        started = start_critic(self.shape, seed, torch.get_default_dtype())
        self.tensors: tuple[Tensor, ...] = tuple(tensor.to(device) for tensor in started)

    def __call__(self, rows: Tensor) -> Tensor:
        """The score of each row, (S, C) for rows (S, C, N): high for what it takes to be real."""
        return critic_scores(self.shape, self.tensors, rows)
