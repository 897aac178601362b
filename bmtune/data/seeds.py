"""Independent random streams from one seed."""

from enum import IntEnum

import numpy as np
import torch


class SeedPurpose(IntEnum):
    """What a stream is for; a number, once given, keeps its meaning."""

    ROWS = 0
    SPLIT = 1
    BATCHES = 2


def seed_sequence(seed: int, purpose: SeedPurpose, *keys: int) -> np.random.SeedSequence:
    """The stream of `seed` for one purpose, and within it for `keys`, for example an epoch."""
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *keys))


def torch_generator(seed: int, purpose: SeedPurpose, *keys: int) -> torch.Generator:
    """A CPU generator at the start of the stream that `seed_sequence` names."""
    state = seed_sequence(seed, purpose, *keys).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))
