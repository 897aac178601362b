"""What holds for the records of every run, whatever was killed meanwhile: nothing is lost, nothing is doubled."""

from collections import defaultdict
from collections.abc import Iterable

from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted


class _Audit:
    """The records so far, as far as later ones are held against them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._running: set[int] = set()
        self._started: set[int] = set()
        self._paused: dict[int, int] = {}
        self._epochs: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
        self._budgets: dict[int, int] = {}
        self._rungs: set[tuple[int, int]] = set()

    def take(self, record: Record) -> None:
        """Holds one record against those before it."""
        match record:
            case TrialStarted():
                self._start(record)
            case RunFinished():
                self._check(not self._running, f"the run has ended, but trials {sorted(self._running)} have not")
            case Epoch() | Rung() | TrialPromoted() | TrialFinished() | PretrainingShared() | CheckpointWritten():
                known = record.trial in self._running
                self._check(known, f"trial {record.trial} has a record ({record.kind}) while it does not run")
                self._of_trial(record)

    def _check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - like an assert
        if not holds:
            self.wrong.append(otherwise)

    def _start(self, record: TrialStarted) -> None:
        self._check(record.trial not in self._started, f"trial {record.trial} was started twice")
        self._started.add(record.trial)
        self._running.add(record.trial)

    def _of_trial(self, record: Record) -> None:
        match record:
            case Epoch():
                self._epoch(record)
            case Rung():
                key = (record.trial, record.rung)
                self._check(key not in self._rungs, f"trial {record.trial} reached rung {record.rung} twice")
                self._rungs.add(key)
                if record.decision == "pause":
                    self._paused[record.trial] = record.rung
            case TrialPromoted():
                waited = self._paused.pop(record.trial, None) == record.rung
                self._check(
                    waited, f"trial {record.trial} was promoted from rung {record.rung}, at which it did not wait"
                )
            case TrialFinished():
                self._running.discard(record.trial)
                self._paused.pop(record.trial, None)

    def _epoch(self, record: Epoch) -> None:
        name = f"{record.phase} epoch {record.epoch} of trial {record.trial}"
        seen = self._epochs[record.trial, record.phase]
        self._check(record.epoch not in seen, f"{name} was recorded twice")
        seen.add(record.epoch)
        if record.epoch < max(seen):
            # It was lost from the records and has been trained again: it says nothing of how far the trial is.
            return
        self._check(record.budget >= self._budgets.get(record.trial, 0), f"{name} has a smaller budget than one before")
        self._check(record.trial not in self._paused, f"{name} was trained while the trial was paused")
        self._budgets[record.trial] = record.budget

    def end(self) -> list[str]:
        """All that is wrong, when there are no more records."""
        for (trial, phase), seen in self._epochs.items():
            missing = sorted(set(range(1, max(seen) + 1)) - seen)
            self._check(not missing, f"{phase} epochs {_short(missing)} of trial {trial} are missing")
        return self.wrong


MOST_SHOWN = 5


def _short(numbers: list[int]) -> str:
    more = f" and {len(numbers) - MOST_SHOWN} more" if len(numbers) > MOST_SHOWN else ""
    return ", ".join(map(str, numbers[:MOST_SHOWN])) + more


def audit(records: Iterable[Record]) -> list[str]:
    """What is wrong with the records of a run, in sentences; empty where nothing is.

    No epoch is there twice or missing before another one, no trial starts, ends or reaches a rung twice, nothing is
    told of a trial before its start or after its end, none trains while it is paused, and none still runs when the run
    has ended. Kinds of records that it does not know are passed over.
    """
    found = _Audit()
    for record in records:
        found.take(record)
    return found.end()
