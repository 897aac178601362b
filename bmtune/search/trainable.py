"""The Ray Tune trainable: a thin shell around a `TrialRun`, for trials that have a process each."""

from typing import Any
from typing import ClassVar

import torch
from ray.tune import PlacementGroupFactory
from ray.tune import Trainable

from bmtune.packing import ran_out
from bmtune.search.packs import Packing
from bmtune.search.packs import is_lost
from bmtune.search.solo import SoloTraining
from bmtune.search.solo import Together
from bmtune.search.trial_alone import TrialRun
from bmtune.search.trial_run import MakeTraining
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import guarded

REPORT = "report"
"""Key of a Tune result that holds a `TrialReport` as JSON."""


class BornTrial(Trainable):
    """Trains one trial at a time; Tune hands it the next trial when one has ended.

    Tune may set up a trial in an actor that is then thrown away, so nothing is read, built or written before the first
    step. Everything that must outlive the process is in the run folder: Tune's own checkpoints hold a pointer only.
    """

    make_training: ClassVar[MakeTraining] = SoloTraining
    packing: ClassVar[Packing[Any]] = Together()

    def setup(self, config: dict[str, Any]) -> None:
        """Remembers the task."""
        self._task = Task.model_validate_json(config["task"])
        self._run: TrialRun | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial; True tells Tune that the actor can be used again."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains until a report is due. Whatever a trial raises is part of its report.

        Raises:
            Exception: Memory ran out, or the device answers no more: the trial may go on in another process.
        """
        return {REPORT: guarded(self._next_report, self._ends_process).model_dump_json()}

    def _ends_process(self, error: Exception) -> bool:
        if not (ran_out(error) or is_lost(error)):
            return False
        # Another process goes on from the last checkpoint, perhaps before this one has gone: it writes nothing more.
        self._run = None
        return True

    def _next_report(self) -> TrialReport:
        if self._run is None:
            torch.set_num_threads(self._task.threads)
            self._run = TrialRun(self._task, type(self).make_training)
        report = self._run.next_report()
        if report.end is not None:
            self._run = None
        return report

    def cleanup(self) -> None:
        """Writes what the trial needs to go on later, where it was broken off."""
        run, self._run = self._run, None
        if run is not None:
            # Nobody listens any more; what cannot be written costs the epochs since the last checkpoint.
            guarded(run.close)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """A pointer to what the trial wrote itself."""
        return {"trial": self._task.trial}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to do: the first step goes on from the trial's last checkpoint."""
        assert checkpoint is None or checkpoint["trial"] == self._task.trial

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """What one trial occupies."""
        return PlacementGroupFactory([dict(config["occupies"])])
