"""What a trial is trained on: its configuration, the data on its device, and facts derived from both."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Grid
from bmtune.born import sampling_grid
from bmtune.config.root import TrialConfig
from bmtune.critics import CriticShape
from bmtune.data import DataHandler
from bmtune.data import Split
from bmtune.objectives import GenerativeNLL


@dataclass(frozen=True)
class Problem:
    """A trial's configuration, resolved against its data.

    Attributes:
        config: All that determines the trial.
        chain: Embedding and shape of the network.
        splits: The rows of "train", "valid" and "test" on the device, in the network's real number type.
        gram: Gram matrix of the embedding on the device, or None for the identity.
        device: Where tensors live.
        criterion: A user's own criterion for generative training, in place of the configured one.
        critic: The tensors of a user's own critic, to start from in place of fresh ones.
        first_row: Number of its first training row, where the rows of several trials lie one behind the other.
    """

    config: TrialConfig
    chain: Chain
    splits: dict[str, Split]
    gram: Tensor | None
    device: torch.device
    criterion: GenerativeNLL | None = None
    critic: tuple[Tensor, ...] | None = None
    first_row: int = 0

    @property
    def critic_shape(self) -> CriticShape:
        """The shape of the critic."""
        critic = self.config.trainer.ganstyle.critic
        return CriticShape.from_config(
            critic, self.chain.num_sites, self.chain.num_classes, self.chain.embedding.data_interval
        )

    @property
    def grid(self) -> Grid:
        """The sampling grid of the GAN phase."""
        return sampling_grid(self.chain, self.config.trainer.ganstyle.sampling.num_bins, self.device)


def make_problem(
    config: TrialConfig,
    data: DataHandler,
    device: str = "cpu",
    criterion: GenerativeNLL | None = None,
    *,
    critic: tuple[Tensor, ...] | None = None,
) -> Problem:
    """Resolves a configuration against its data.

    Raises:
        DataError: There are fewer training rows than a batch.
    """
    place = torch.device(device)
    chain = Chain.from_config(config.born, data.num_features, data.num_classes)
    splits = _placed(data, place, chain.real_dtype)
    return Problem(config, chain, splits, chain.gram(place), place, criterion, critic)


@lru_cache(maxsize=8)
def _placed(data: DataHandler, device: torch.device, dtype: torch.dtype) -> dict[str, Split]:
    """The rows on a device, as numbers of a type: trials share them, however many there are."""
    return {name: Split(split.x.to(device, dtype), split.y.to(device)) for name, split in data.splits.items()}
