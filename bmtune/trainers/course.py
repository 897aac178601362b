"""What all trainers do: train a phase from a Born machine's cores, restore the best epoch, test it, save it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.checkpoints import write_checkpoint
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.data import check_batch_size
from bmtune.errors import ConfigError
from bmtune.tracking import MetricSink
from bmtune.tracking import active_sink
from bmtune.tracking import epoch_values
from bmtune.tracking import test_values
from bmtune.training import Problem
from bmtune.training import TrialState
from bmtune.training import advance
from bmtune.training import main_best
from bmtune.training import outcome
from bmtune.training import start_at

OUTPUTS = Path("outputs")
"""Where trainers save: outputs/<cfg.name>/models/."""


@dataclass(frozen=True)
class Course:
    """What a trainer trains, and where the result goes.

    Attributes:
        machine: The Born machine; it has the best epoch's cores afterwards.
        problem: Its configuration and data.
        phase: The phase to train.
        stage: The name of that phase in logs and file names.
        save: Whether the result is written to outputs/<name>/models/.
    """

    machine: BornMachine
    problem: Problem
    phase: str
    stage: str
    save: bool

    def run(
        self, goal: Mapping[str, float] | None, reached_before: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Trains the phase and returns the best epoch's validation metrics.

        Raises:
            ConfigError: No epoch could be kept: training diverged at once, or none was within its tolerance.
        """
        cores = Cores(*(tensor.detach().to(self.problem.device) for tensor in self.machine.cores))
        state = start_at(self.problem, self.phase, cores, goal=goal, reached_before=reached_before)
        sink, step, pictures = active_sink(), 0, dict[str, bytes]()
        while not state.status.ended:
            state, report = advance(self.problem, state)
            stage = self.stage if report.phase == self.phase else report.phase
            sink.log(epoch_values(stage, report.epoch, report.metrics), step)
            for name, png in report.pictures.items():
                sink.picture(f"{stage}/{name}", png, step)
                pictures[f"{name}-{stage}-{report.epoch:05d}.png"] = png
            step += 1
        return self._finish(state, sink, pictures)

    def _finish(self, state: TrialState, sink: MetricSink, pictures: Mapping[str, bytes]) -> dict[str, float]:
        found = outcome(self.problem, state)
        if found is None or main_best(self.problem, state) is None:
            raise ConfigError(
                f"a training must have an epoch that can be kept, but {self.stage} has none: {state.status.value} "
                "(a smaller learning rate or a larger tolerance may help)"
            )
        self.machine.cores = found.cores
        timings = {
            f"{self.stage}/{key}" if phase == self.phase else f"{phase}/{key}": value
            for (phase, _, key), value in ((name.partition("/"), value) for name, value in found.timings.items())
        }
        sink.summary(test_values(self.stage, found.test) | timings)
        if self.save:
            facts = {"config": self.problem.config.model_dump(mode="json"), "epoch": found.epoch}
            metrics = found.valid | {f"test/{name}": value for name, value in found.test.items()}
            folder = _free_folder(OUTPUTS / self.problem.config.name / "models", self.stage)
            write_checkpoint(folder, found.cores._asdict(), {**facts, "metrics": metrics, "timings": timings})
            for name, png in pictures.items():
                (folder / name).write_bytes(png)
        return dict(found.valid)


def _free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or `parent/name-2` and so on where that is taken: nothing is overwritten."""
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def check_fit(
    cfg: TrialConfig, bornmachine: BornMachine, datahandler: DataHandler, batch_size: int, place: str
) -> None:
    """Refuses a machine, a configuration and data that do not belong together.

    Raises:
        ConfigError: They differ in shape, embedding or interval.
        DataError: There are fewer training rows than a batch.
    """
    chain = bornmachine.chain
    found = (chain.num_sites, chain.num_classes, chain.embedding.data_interval)
    asked = (datahandler.num_features, datahandler.num_classes, datahandler.interval)
    if found != asked:
        raise ConfigError(
            "a Born machine must have the data's number of features, number of classes and interval, "
            f"but got {found} for data with {asked}; build both from one configuration"
        )
    if (chain.embedding.name, chain.physical_dim) != (cfg.born.embedding, cfg.born.physical_dim):
        raise ConfigError(
            f"cfg.born must describe the Born machine, but it has {cfg.born.embedding} with physical_dim "
            f"{cfg.born.physical_dim} and the machine {chain.embedding.name} with {chain.physical_dim}"
        )
    check_batch_size(len(datahandler.splits["train"].y), batch_size, place=place)


def with_recipe(cfg: TrialConfig, bornmachine: BornMachine, recipe: str, **trainers: Any) -> TrialConfig:
    """The configuration with the recipe of the trainer that reads it, and the machine's own dtype and bond_dim."""
    chain, bond_dim = bornmachine.chain, bornmachine.cores.bond_dim
    born = cfg.born.model_copy(update={"dtype": str(chain.dtype).removeprefix("torch."), "bond_dim": bond_dim})
    trainer = cfg.trainer.model_copy(update=trainers)
    return TrialConfig.model_validate({**dict(cfg), "recipe": recipe, "born": born, "trainer": trainer})


def device_name(device: str | torch.device) -> str:
    """A device as text, however the caller gave it."""
    return str(device)
