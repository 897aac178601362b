import torch

from bmtune.config.root import TrialConfig
from bmtune.search.trial_alone import TrialRun
from bmtune.search.trial_run import Task
from bmtune.training import EpochReport
from bmtune.training import Status


class Painting:
    """A training of three epochs that draws at every second one."""

    def __init__(self):
        self.epoch = 0

    def advance(self):
        self.epoch += 1
        status = Status.FINISHED if self.epoch == 3 else Status.RUNNING
        pictures = {"viz": b"png of %d" % self.epoch} if self.epoch % 2 else {}
        metrics = {"loss": 1.0}
        return EpochReport(
            phase="pre",
            epoch=self.epoch,
            budget=self.epoch,
            metrics=metrics,
            seconds=0.1,
            status=status,
            eligible=True,
            best_epoch=1,
            best_metrics=metrics,
            pictures=pictures,
        )

    def last(self):
        return {"cores": torch.zeros(1)}, {}

    def best(self):
        return {"cores": torch.zeros(1)}


def test_pictures_lie_beside_the_checkpoints_before_their_epoch_is_reported(tmp_path):
    task = Task(trial=7, config=TrialConfig(), run_folder=str(tmp_path), rungs=(), report_every_s=0.0)
    run = TrialRun(task, lambda config, device, saved: Painting())
    folder = tmp_path / "checkpoints/trial-00007/pictures"
    assert [epoch.epoch for epoch in run.next_report().epochs] == [1]
    assert [path.name for path in folder.iterdir()] == ["viz-pre-00001.png"]
    run.next_report()
    run.next_report()
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {"viz-pre-00001.png": b"png of 1", "viz-pre-00003.png": b"png of 3"}
