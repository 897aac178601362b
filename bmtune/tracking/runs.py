"""A search's records as W&B runs: one run a trial, all in one group."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from hashlib import blake2b
from pathlib import Path
from typing import Any
from typing import Protocol

from pydantic import JsonValue

from bmtune.records import Aims
from bmtune.records import Epoch
from bmtune.records import Point
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import aims_in
from bmtune.records import merit
from bmtune.tracking.keys import epoch_times
from bmtune.tracking.keys import epoch_values
from bmtune.tracking.keys import picture_path
from bmtune.tracking.keys import test_values
from bmtune.tracking.sink import define_metrics

PICTURE = "viz"


@dataclass(frozen=True)
class RunFacts:
    """What a W&B run is told when it is opened.

    Attributes:
        id: Unique in a project and the same in every replay of the same records.
        name: What people read.
        group: The search.
        config: Searched values by dotted path, and what the search is about.
    """

    id: str
    name: str
    group: str
    config: dict[str, JsonValue]


class Service(Protocol):
    """Opens and ends W&B runs."""

    def open(self, facts: RunFacts) -> Any:
        """A run that takes values, now or, if W&B cannot be reached, later."""
        ...

    def image(self, path: Path) -> Any:
        """A picture as a value that a run can log."""
        ...

    def finish(self, run: Any, exit_code: int) -> None:
        """Returns when the run is safe: at W&B, or on this disk."""
        ...


@dataclass
class _Trial:
    started: TrialStarted
    run: Any
    steps: int = 0
    epochs: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    main_phase: str = ""
    passed: int = 0
    stopped: bool = False
    ended: bool = False
    whole: bool = False
    value: float | None = None
    point: Point | None = None
    failed: bool = False


class TrialRuns:
    """Turns records into W&B runs.

    The run of the best trial so far stays open after its end, for the test metrics that only the end of the
    search brings; all others are finished with their trial.

    Args:
        folder: The run folder, where pictures lie.
        service: W&B.
        sent: Trials that W&B has had whole before; they are passed over.
        on_sent: Called with the number of each trial that W&B now has whole: one that had not ended may go on.
    """

    def __init__(self, folder: Path, service: Service, sent: frozenset[int], on_sent: Callable[[int], None]) -> None:
        self._folder = folder
        self._service = service
        self._sent = sent
        self._on_sent = on_sent
        self._header: RunStarted | None = None
        self._aims = Aims(())
        self._open: dict[int, _Trial] = {}
        self._champion: int | None = None
        self._promotes = False
        self.ended = False

    def on_record(self, record: Record) -> None:
        """Takes one record."""
        match record:
            case RunStarted():
                self._header, self._aims = record, aims_in(record)
            case TrialStarted():
                if record.trial not in self._sent:
                    self._open[record.trial] = _Trial(record, self._service.open(self._facts(record)))
            case PretrainingShared():
                self._share(record)
            case Epoch():
                self._epoch(record)
            case Rung():
                self._promotes |= record.decision in ("pause", "promote")
                self._pass_or_hold(record.trial, held=record.decision in ("stop", "pause"))
            case TrialPromoted():
                self._pass_or_hold(record.trial, held=False)
            case TrialFinished():
                self._finish_trial(record)
            case RunFinished():
                self._finish_search(record)
        # One that was resumed after its end goes on.
        self.ended = isinstance(record, RunFinished)

    def close(self) -> None:
        """Finishes every run that is still open."""
        for number in list(self._open):
            self._close(number)

    def _facts(self, record: TrialStarted) -> RunFacts:
        header = self._header
        assert header is not None, "records begin with the run"
        # The time of the start, because another run folder may bear the same name.
        digest = blake2b(f"{header.run}/{header.time!r}".encode(), digest_size=5).hexdigest()
        about: dict[str, JsonValue] = {
            "trainer": header.trainer,
            "dataset": header.dataset,
            "seed": record.seed,
            "trial": record.trial,
        }
        return RunFacts(
            id=f"{digest}-{record.trial:05d}",
            name=f"{header.run}-{record.trial:05d}",
            group=header.run,
            config={**record.params, **about},
        )

    def _share(self, record: PretrainingShared) -> None:
        """What the main phase starts from is a value of the whole run here: no epoch of it has that."""
        trial = self._open.get(record.trial)
        if trial is not None:
            start = {f"pre/{name}": value for name, value in record.metrics.items()}
            trial.run.summary.update({**start, "pre/shared_from": f"{record.from_run}/{record.from_trial}"})
            picture = self._picture(record.trial, "pre", record.epochs)
            if picture:
                trial.run.log(picture, step=trial.steps)

    def _picture(self, trial: int, phase: str, epoch: int) -> dict[str, object]:
        """The picture of an epoch by its key, where there is one."""
        shown = self._folder / picture_path(trial, phase, epoch, PICTURE)
        return {f"{phase}/{PICTURE}": self._service.image(shown)} if shown.is_file() else {}

    def _epoch(self, record: Epoch) -> None:
        trial = self._open.get(record.trial)
        if trial is None:
            return
        trial.steps += 1
        trial.epochs[record.phase] = trial.epochs.get(record.phase, 0) + 1
        trial.seconds[record.phase] = trial.seconds.get(record.phase, 0.0) + record.seconds
        if record.phase != "re":
            trial.main_phase = record.phase
        values = epoch_values(record.phase, record.epoch, record.metrics)
        define_metrics(trial.run, values, trial.defined)
        picture = self._picture(record.trial, record.phase, record.epoch)
        trial.run.log({**values, **picture}, step=trial.steps)

    def _pass_or_hold(self, number: int, *, held: bool) -> None:
        trial = self._open.get(number)
        if trial is not None:
            trial.stopped = held
            trial.passed += not held

    def _merit(self, trial: _Trial) -> float:
        return merit(passed=trial.passed, held=trial.stopped, whole=trial.whole, promotes=self._promotes)

    def _finish_trial(self, record: TrialFinished) -> None:
        trial = self._open.get(record.trial)
        if trial is None:
            return
        best = {f"best/{name}": value for name, value in (record.best_metrics or {}).items()}
        ended = {"status": record.status, "reason": record.reason, "value": record.value}
        times = epoch_times(trial.epochs, trial.seconds)
        trial.run.summary.update({**times, **best, "best/epoch": record.best_epoch, **ended})
        trial.ended = True
        trial.value, trial.failed, trial.whole = record.value, record.status == "failed", record.status == "completed"
        trial.point = self._aims.point(record.best_metrics)
        if not self._is_champion(trial):
            self._close(record.trial)
            return
        former, self._champion = self._champion, record.trial
        if former is not None:
            self._close(former)

    def _is_champion(self, trial: _Trial) -> bool:
        """Whether a trial that ended is the best so far, as the search chooses: by merit first."""
        if trial.failed or trial.value is None or trial.value != trial.value:
            return False
        if not self._aims.is_plain and (trial.point is None or trial.point.violation):
            return False
        champion = self._open.get(self._champion) if self._champion is not None else None
        if champion is None or champion.value is None:
            return True
        if len(self._aims.objectives) > 1:
            # The first of a Pareto set is the one with the best first objective.
            assert trial.point is not None, "it was checked"
            assert champion.point is not None, "it was checked when it became the champion"
            return trial.point.costs < champion.point.costs
        if self._merit(trial) != self._merit(champion):
            return self._merit(trial) > self._merit(champion)
        return self._aims.objectives[0].better(trial.value, champion.value)

    def _finish_search(self, record: RunFinished) -> None:
        winner = self._open.get(record.best) if record.best is not None else None
        if winner is not None:
            winner.run.summary.update({**test_values(winner.main_phase, record.test_metrics or {}), "winner": True})

    def _close(self, number: int) -> None:
        trial = self._open.pop(number)
        if self._champion == number:
            self._champion = None
        self._service.finish(trial.run, 1 if trial.failed else 0)
        if trial.ended:
            self._on_sent(number)
