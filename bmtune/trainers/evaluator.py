"""The trainer guide's `PerformanceEvaluator`."""

import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.config.adversarial import AdversarialConfig
from bmtune.config.generative import GenerativeConfig
from bmtune.config.metrics import due
from bmtune.config.metrics import without_picture
from bmtune.config.root import TrialConfig
from bmtune.config.training import ClassificationConfig
from bmtune.config.training import GANStyleConfig
from bmtune.data import DataHandler
from bmtune.data import Split
from bmtune.evaluation import measure
from bmtune.training.seeds import derive


class PerformanceEvaluator:
    """Measures a Born machine on a split.

    Args:
        cfg: The whole configuration; its seed and cfg.evaluation are used.
        datahandler: The data.
        train_cfg: The configuration of the trainer, whose `metrics` say what is due when.
        device: Where to measure.
    """

    def __init__(
        self,
        cfg: TrialConfig,
        datahandler: DataHandler,
        train_cfg: ClassificationConfig | GANStyleConfig | GenerativeConfig | AdversarialConfig,
        device: str | torch.device = "cpu",
    ) -> None:
        self._cfg = cfg
        self._data = datahandler
        self._schedule = train_cfg.metrics
        self._device = torch.device(device)

    def evaluate(self, bornmachine: BornMachine, split: str, epoch: int) -> dict[str, float]:
        """The metrics that are due after `epoch`, counted from 1, on "train", "valid" or "test"."""
        rows = self._data.splits[split]
        placed = Split(rows.x.to(self._device, bornmachine.chain.real_dtype), rows.y.to(self._device))
        cores = Cores(*(tensor.detach().to(self._device) for tensor in bornmachine.cores))
        names = without_picture(due(self._schedule, epoch))
        seed = derive(self._cfg.seed, "evaluate")
        return measure(names, bornmachine.chain, cores, placed, self._cfg.evaluation, seed=seed)
