"""The real training behind a trial, alone or in a pack, with data sets that a process loads once."""

from collections.abc import Mapping
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor

from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.config.data import DataConfig
from bmtune.config.data_folders import cache_folder
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.packing import Lane
from bmtune.packing import Widths
from bmtune.packing import advance_lanes
from bmtune.packing import pack_key
from bmtune.search.trial_start import Saved
from bmtune.training import EpochReport
from bmtune.training import Pretrained
from bmtune.training import advance
from bmtune.training import from_checkpoint
from bmtune.training import main_best
from bmtune.training import make_problem
from bmtune.training import pre_determined_by
from bmtune.training import pre_pictures
from bmtune.training import pre_result
from bmtune.training import start
from bmtune.training import test_metrics
from bmtune.training import to_checkpoint
from bmtune.training import with_pre_result


@lru_cache(maxsize=4)
def _load(data: DataConfig, interval: tuple[float, float]) -> DataHandler:
    return DataHandler(data, interval)


def load_data(config: TrialConfig) -> DataHandler:
    """The data set of a configuration; the same object for all that determines the same content.

    Raises:
        DataError: The data are unfit to train on.
    """
    return _load(config.data, get_embedding(config.born.embedding).data_interval)


class SoloTraining:
    """A trial and how far it has come; see `Training`.

    Attributes:
        lane: What is trained, and its state.
        keys: Pack keys by phase, as far as they were asked for: they take longer to make than to keep.
    """

    def __init__(self, config: TrialConfig, device: str, saved: Saved | None) -> None:
        """Starts a trial, or goes on from what `last` returned."""
        data = load_data(config)
        problem = make_problem(config, data, device)
        self.lane = Lane(problem, from_checkpoint(problem, *saved) if saved else start(problem))
        self.keys: dict[str, str] = {}
        # Trainings on more splits than are kept would load them again and again to ask for it.
        self._content_hash = data.content_hash

    def advance(self) -> EpochReport:
        """See `Training.advance`."""
        state, report = advance(*self.lane)
        self.lane = self.lane._replace(state=state)
        return report

    def last(self) -> Saved:
        """See `Training.last`."""
        return to_checkpoint(self.lane.state)

    def best(self) -> dict[str, Tensor]:
        """See `Training.best`."""
        found = main_best(*self.lane)
        assert found is not None, "a best epoch was reported"
        return dict(found.cores._asdict())

    def pre_determined_by(self) -> dict[str, Any] | None:
        """See `Pretraining.pre_determined_by`."""
        config, state = self.lane.problem.config, self.lane.state
        if not config.pretrains or state.phase != "pre" or state.status.ended:
            return None
        return pre_determined_by(config, self._content_hash, self.lane.problem.device.type)

    def pre_result(self) -> Pretrained | None:
        """See `Pretraining.pre_result`."""
        return pre_result(*self.lane)

    def take_pre_result(self, result: Pretrained) -> dict[str, float] | None:
        """See `Pretraining.take_pre_result`."""
        state, metrics = with_pre_result(self.lane.problem, result)
        if state.status.ended:
            return None
        self.lane = self.lane._replace(state=state)
        return metrics

    def pre_pictures(self, result: Pretrained) -> dict[str, bytes]:
        """See `Pretraining.pre_pictures`."""
        return pre_pictures(self.lane.problem, result)


class Together:
    """Trials whose next epochs can be one batched program are trained as one; see `Packing`."""

    def __init__(self) -> None:
        """Packs as wide as measuring says is best; what was measured is kept for later searches on this machine."""
        self._widths = Widths(cache_folder() / "widths")

    def width(self, trainings: Sequence[SoloTraining]) -> int:
        """See `Packing.width`."""
        return self._widths.width([training.lane for training in trainings])

    def key(self, training: SoloTraining) -> str:
        """See `Packing.key`."""
        phase = training.lane.state.phase
        if phase not in training.keys:
            training.keys[phase] = pack_key(*training.lane)
        return training.keys[phase]

    def advance(self, trainings: Sequence[SoloTraining]) -> Sequence[EpochReport]:
        """See `Packing.advance`."""
        reports: list[EpochReport] = []
        lanes = [training.lane for training in trainings]
        with self._widths.turn(lanes):
            advanced = advance_lanes(lanes)
        for training, (state, report) in zip(trainings, advanced, strict=True):
            training.lane = training.lane._replace(state=state)
            reports.append(report)
        return reports


def on_test_rows(config: TrialConfig, tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """The metrics of trained cores on the rows that nothing else has looked at.

    Args:
        config: The configuration that they were trained with.
        tensors: What `Training.best` returned.
    """
    return test_metrics(make_problem(config, load_data(config)), Cores(**tensors))
