"""What can be kept of damaged records: a pure look at lines and checkpoints, which writes nothing.

The rule: every whole record stays that can still follow from those before it. What halving decided, and that a paused
trial went on, can be read from what came after it, so such lines are written again. The start of a trial is taken from
its best checkpoint; where there is none, the trial keeps its number and nothing else, and is trained with values that
are proposed for it now. An epoch cannot be had back from anywhere: a trial that has ended stays as it ended, and one
that has not is trained again from its start where its checkpoint is behind the gap (see `set_aside_unrecorded`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.config.paths import get
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import is_active
from bmtune.config.space_model import plain
from bmtune.errors import CheckpointError
from bmtune.records import CheckpointWritten
from bmtune.records import Damage
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.search.going_on import lacks_decision
from bmtune.search.going_on import trained_by
from bmtune.search.halving import Decision
from bmtune.search.next_trial import next_params
from bmtune.search.proposals import derived_seed
from bmtune.search.state import SearchState
from bmtune.search.trial_run import checkpoint_path

Lines = Sequence[Record | Damage]


def replay_lines(space: SearchSpace, lines: Lines) -> tuple[SearchState, Damage | None]:
    """The state that whole lines lead to, up to the first one that is damaged or cannot follow, and that one."""
    state = SearchState(space)
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Damage):
            return state, line
        try:
            state.apply(line)
        except ValueError as error:
            return state, Damage(number, str(error))
    return state, None


@dataclass
class Repaired:
    """What a repair keeps.

    Attributes:
        records: The records afterwards.
        kept: Of those that were there, how many are among them.
        added: How many were written again.
        again: Trials that begin anew, whatever checkpoint they have.
    """

    records: list[Record] = field(default_factory=list)
    kept: int = 0
    added: int = 0
    again: set[int] = field(default_factory=set)


def repaired(space: SearchSpace, lines: Lines, folder: Path) -> Repaired:
    """The longest repair that is sound.

    Args:
        space: The search.
        lines: Whole lines of its records; the first one is not damaged.
        folder: The run folder, for its checkpoints.
    """
    repair = _Repair(space, lines, folder)
    for position, line in enumerate(lines):
        if isinstance(line, Damage):
            repair.bridge(position, line)
        else:
            repair.keep(position, line)
    return repair.found


class _Repair:
    """A state that grows line by line, and the lines that led to it."""

    def __init__(self, space: SearchSpace, lines: Lines, folder: Path) -> None:
        self.found = Repaired()
        self._state = SearchState(space)
        self._folder = folder
        self._lines = lines
        self._next_of_trial = _next_of_trial(lines)
        self._time = 0.0
        self._noticed = False
        started = {line.trial for line in lines if isinstance(line, TrialStarted)}
        mentioned = {number for line in lines if (number := _trial_of(line)) is not None}
        self._lost_starts = set(range(max(mentioned, default=-1) + 1)) - started

    def bridge(self, position: int, damage: Damage) -> None:
        """What stood in a damaged line, as far as it can be told."""
        if not self._noticed:
            self._noticed = True
            self._add(Notice(text=f"these records were repaired: line {damage.number} was damaged ({damage.reason})"))
        self._start_lost(self._before_next_start(position))

    def keep(self, position: int, record: Record) -> None:
        """Takes a record that can follow, after what must come before it."""
        number = _trial_of(record)
        if number is not None:
            self._start_lost(number if isinstance(record, TrialStarted) else number + 1)
            if number in self.found.again:
                return
        if isinstance(record, Epoch) and number in self._state.running:
            self._pass_lost_rungs(record)
        if isinstance(record, TrialFinished):
            self._find_best(record)
        if self._is_no_end(record):
            return
        self._time = getattr(record, "time", self._time)
        if self._apply(record):
            self.found.kept += 1
        if isinstance(record, Epoch):
            self._decide_again(position, record)

    def _is_no_end(self, record: Record) -> bool:
        """Whether a record says that something ended which lacks an epoch, or a trial that does."""
        match record:
            case RunFinished():
                return bool(self._state.running)
            case TrialFinished(status="completed"):
                path = self._folder / checkpoint_path(record.trial, "last")
                return bool(trained_by(path) - self._state.epochs_of(record.trial))
        return False

    def _apply(self, record: Record) -> bool:
        try:
            self._state.apply(record)
        except ValueError:
            return False
        self.found.records.append(record)
        return True

    def _add(self, record: Record) -> None:
        self.found.added += self._apply(record)

    def _before_next_start(self, position: int) -> int:
        """The number of the next trial whose start is there; that of the first that nobody mentions, where none is."""
        following = (line.trial for line in self._lines[position:] if isinstance(line, TrialStarted))
        return next(following, max(self._lost_starts, default=-1) + 1)

    def _start_lost(self, end: int) -> None:
        """Starts the trials below `end` whose start was lost."""
        state, space = self._state, self._state.space
        while state.num_started < end and state.num_started in self._lost_starts:
            number = state.num_started
            params = _params_on_disk(space, self._folder, number)
            if params is None:
                params = next_params(state)
                self.found.again.add(number)
            seed = derived_seed(space.run.seed, number)
            self._add(TrialStarted(trial=number, params=params, seed=seed, time=self._time))

    def _pass_lost_rungs(self, record: Epoch) -> None:
        """A trial that trained on had left its rung: by a promotion, or by a decision that was lost with the epoch."""
        state = self._state
        if record.trial in state.paused:
            self._add(TrialPromoted(trial=record.trial, rung=state.paused[record.trial], time=self._time))
        before = state.running[record.trial].budget
        for rung, arrivals in state.arrivals.items():
            if before < rung < record.budget and all(arrival.trial != record.trial for arrival in arrivals):
                self._add(Rung(trial=record.trial, rung=rung, value=None, decision=self._went_on()))

    def _decide_again(self, position: int, record: Epoch) -> None:
        """Writes a lost decision, which stood right behind the epoch that reached its rung.

        Where the epoch is the last line nothing was lost: whoever goes on with the run decides.
        """
        trial = self._state.running.get(record.trial)
        if trial is None or position + 1 == len(self._lines) or not lacks_decision(self._state, trial):
            return
        following = self._lines[position + 1]
        if isinstance(following, Rung) and following.trial == record.trial:
            return
        self._add(self._state.rung_reached(record.trial, self._decision(position)))

    def _decision(self, position: int) -> Decision | None:
        """What halving decided, from what the trial did next; None where it did nothing, and halving decides now."""
        record = self._lines[position]
        assert isinstance(record, Epoch), "an epoch reaches a rung"
        place = self._next_of_trial[position]
        while place is not None and isinstance(self._lines[place], CheckpointWritten):
            place = self._next_of_trial[place]
        following = None if place is None else self._lines[place]
        match following:
            case TrialPromoted():
                return "pause"
            case Epoch():
                return self._went_on()
            case TrialFinished() if following.reason.startswith("paused at rung"):
                return "pause"
            case TrialFinished() if following.reason.startswith("stopped at rung"):
                return "stop"
        return None

    def _went_on(self) -> Decision:
        return "promote" if self._state.halving == "promote" else "continue"

    def _find_best(self, record: TrialFinished) -> None:
        """A winner needs the checkpoint of its best epoch."""
        trial = self._state.running.get(record.trial)
        if trial is None or record.best_epoch is None or "best" in trial.checkpoints:
            return
        path = checkpoint_path(record.trial, "best")
        if has_checkpoint(self._folder / path):
            self._add(CheckpointWritten(trial=record.trial, which="best", budget=trial.budget, path=path))


def _trial_of(line: Record | Damage) -> int | None:
    return getattr(line, "trial", None)


def _next_of_trial(lines: Lines) -> list[int | None]:
    """For each line, where the next one about the same trial is."""
    found: list[int | None] = [None] * len(lines)
    latest: dict[int, int] = {}
    for position in range(len(lines) - 1, -1, -1):
        number = _trial_of(lines[position])
        if number is not None:
            found[position] = latest.get(number)
            latest[number] = position
    return found


def _params_on_disk(space: SearchSpace, folder: Path, number: int) -> Params | None:
    """The searched values of a trial as its best checkpoint has them; None where there is no sound one."""
    path = folder / checkpoint_path(number, "best")
    if not has_checkpoint(path):
        return None
    try:
        _, facts = read_checkpoint(path)
    except CheckpointError:
        return None
    config = TrialConfig.model_validate(facts["config"])
    params: Params = {}
    for name, dimension in space.parameters:
        if is_active(dimension, params):
            params[name] = plain(get(config, name))
    same = space.configure(params).model_copy(update={"seed": config.seed}) == config
    return params if same and config.seed == derived_seed(space.run.seed, number) else None
