"""A confirmation from a run folder to its verdict: train, compare, keep."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from bmtune import __version__
from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ConfirmationEntry
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import write_best
from bmtune.config.root import TrialConfig
from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.confirmation.progress import Follower
from bmtune.confirmation.records import FILE
from bmtune.confirmation.records import ConfirmationRecord
from bmtune.confirmation.records import ConfirmationStarted
from bmtune.confirmation.records import Ended
from bmtune.confirmation.records import TestMeasured
from bmtune.confirmation.records import TrainingEnded
from bmtune.confirmation.records import read_confirmation
from bmtune.confirmation.verdict import Measured
from bmtune.confirmation.verdict import judge
from bmtune.disk_space import Patience
from bmtune.errors import FormatError
from bmtune.errors import SearchStoppedError
from bmtune.records import Metrics
from bmtune.records import RecordWriter
from bmtune.search.carrying import SharedFolder
from bmtune.search.confirm_choice import Choice
from bmtune.search.confirm_choice import Wish
from bmtune.search.confirm_choice import choose
from bmtune.search.confirm_choice import fresh_seeds
from bmtune.search.confirm_choice import plan_confirmation
from bmtune.search.confirm_choice import reseeded
from bmtune.search.confirm_run import EndedRun
from bmtune.search.confirm_run import in_use
from bmtune.search.confirm_training import Pair
from bmtune.search.confirm_training import PairTraining
from bmtune.search.confirm_training import folder_of
from bmtune.search.driver import Backend
from bmtune.search.fleet import Fleet
from bmtune.search.machines import room_for_hosts
from bmtune.search.plan import gpus_of
from bmtune.search.trial_run import Task
from bmtune.search.winner import BEST_FILE
from bmtune.search.winner import BEST_FOLDER
from bmtune.search.winner import counts


@dataclass(frozen=True)
class Confirmed:
    """What a confirmation came to.

    Attributes:
        best: The content of `best.yaml`.
        notice: A sentence where less was confirmed than was asked for, or None.
    """

    best: BestFile
    notice: str | None


def confirm(run: EndedRun, wish: Wish, follower: Follower, backend: Backend) -> Confirmed:
    """Confirms the best trials of a run, on the Ray that this process is connected to.

    Args:
        run: The run.
        wish: How many configurations and seeds.
        follower: Hears how far it is.
        backend: What trains and measures.

    Raises:
        RunFolderError: Another confirmation of this run is at work.
        FormatError: An earlier confirmation was written by another version.
        ResourceError: One training fits on no machine.
        SearchStoppedError: No configuration could be trained with every seed.
    """
    with in_use(run.folder), _Confirmation(run, wish, follower, backend) as confirmation:
        confirmation.train()
        return confirmation.conclude()


class _Confirmation:
    """The work of `confirm`, over one open file."""

    def __init__(self, run: EndedRun, wish: Wish, follower: Follower, backend: Backend) -> None:
        self._run, self._follower, self._backend = run, follower, backend
        self._choice: Choice = choose(run.state, wish.top)
        self._seeds = fresh_seeds(run.space.run.seed, wish.seeds)
        self._ended, self._epochs, self._total = Ended(), 0, 0
        self._stack = ExitStack()

    def __enter__(self) -> "_Confirmation":
        path = self._run.folder / FILE
        if path.is_file() and path.stat().st_size:
            self._ended = self._read(path)
        self._writer = self._stack.enter_context(RecordWriter(path, patience=Patience(self._say)))
        if not path.stat().st_size:
            self._writer.write(self._header())
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def train(self) -> None:
        """Trains every pair that has not ended."""
        pairs = [Pair(trial.number, seed) for seed in self._seeds for trial in self._choice.trials]
        missing = [pair for pair in pairs if not self._is_done(pair)]
        self._total, self._epochs = len(pairs), 0
        if not missing:
            return
        settings, room = room_for_hosts(self._run.space.run)
        self._run = replace(self._run, space=replace(self._run.space, run=settings))
        plan = plan_confirmation(settings, len(missing), room)
        trainable, shared = self._backend.trainable, SharedFolder(self._run.folder, Patience(self._say))
        fleet = Fleet(plan, trainable.make_training, trainable.packing, shared=shared)
        try:
            self._tell()
            objective = self._run.state.objective
            training = PairTraining(fleet, objective, settings.max_failures, self._end, self._advance, say=self._say)
            training.train({pair: self._task(pair) for pair in missing})
        finally:
            fleet.close()

    def conclude(self) -> Confirmed:
        """Compares, measures the winner on test rows, and writes `best/` and `best.yaml`."""
        values = {
            trial.number: tuple(self._ended.trainings[trial.number, seed].value for seed in self._seeds)
            for trial in self._choice.trials
        }
        measured = Measured(self._run.state.objective, self._seeds, values, self._choice.base, self._choice.chosen)
        winner = measured.winner
        if winner is None:
            failed = next(end for end in self._ended.trainings.values() if end.status == "failed")
            raise SearchStoppedError(
                f"a confirmation must have a configuration that can be trained with every seed, but each of "
                f"{len(values)} failed with one (trial {failed.trial}, seed {failed.seed}: {failed.reason}); "
                f"see {self._run.folder / FILE}"
            )
        tests = [self._test(Pair(winner, seed)) for seed in self._seeds]
        found = judge(measured, tests)
        kept = Pair(winner, self._seeds[measured.median_seed(winner)])
        return Confirmed(self._keep(found, kept), self._choice.notice)

    def _read(self, path: Path) -> Ended:
        read = read_confirmation(path)
        header = read.records[0] if read.records else None
        ours = self._header()
        if isinstance(header, ConfirmationStarted):
            for name in ("data_hash", "objective", "max_epochs"):
                if getattr(header, name) != getattr(ours, name):
                    raise FormatError(
                        f"a confirmation must be one of its run, but {path} has another {name}; move it away"
                    )
        # What a writer that was killed left behind its last whole line.
        os.truncate(path, read.size)
        return Ended(read.records)

    def _header(self) -> ConfirmationStarted:
        header = self._run.header
        return ConfirmationStarted(
            run=header.run,
            data_hash=header.data_hash,
            objective=header.objective,
            max_epochs=header.max_epochs,
            bmtune=__version__,
            time=time.time(),
        )

    def _is_done(self, pair: Pair) -> bool:
        end = self._ended.trainings.get(pair)
        if end is None:
            return False
        return end.checkpoint is None or has_checkpoint(self._run.folder / end.checkpoint)

    def _config(self, pair: Pair) -> TrialConfig:
        trial = next(trial for trial in self._choice.trials if trial.number == pair.trial)
        return reseeded(self._run.space.configure(trial.params), pair.seed)

    def _task(self, pair: Pair) -> Task:
        run, cache = self._run.space.run, self._run.pre_cache
        return Task(
            trial=pair.trial,
            config=self._config(pair),
            run_folder=str((self._run.folder / folder_of(pair.seed)).resolve()),
            rungs=(),
            report_every_s=run.report_every_s,
            checkpoint_every=run.checkpoint_every,
            threads=run.cpus_per_trial,
            device="cuda" if gpus_of(run) else "cpu",
            pre_cache=None if cache is None else str(cache.resolve()),
        )

    def _record(self, record: ConfirmationRecord) -> None:
        self._writer.write(record)
        self._ended.take(record)

    def _end(self, end: TrainingEnded) -> None:
        self._record(end)
        self._tell(end)

    def _advance(self, epochs: int) -> None:
        self._epochs += epochs
        self._tell()

    def _say(self, text: str) -> None:
        self._tell(notice=text)

    def _tell(self, latest: TrainingEnded | None = None, notice: str | None = None) -> None:
        pairs = [(trial.number, seed) for seed in self._seeds for trial in self._choice.trials]
        done = sum(pair in self._ended.trainings for pair in pairs)
        budget = self._total * self._run.header.max_epochs
        metric = self._run.state.objective.metric
        progress = ConfirmationProgress(metric, done, self._total, self._epochs, budget, latest, notice)
        self._follower.on_confirming(progress)

    def _test(self, pair: Pair) -> Metrics:
        """The metrics of a model on its test rows, which are looked at once."""
        if pair not in self._ended.tests:
            tensors, _ = read_checkpoint(self._checkpoint(pair))
            metrics = self._backend.on_test_rows(self._config(pair), tensors)
            self._record(TestMeasured(trial=pair.trial, seed=pair.seed, metrics=metrics, time=time.time()))
        return self._ended.tests[pair]

    def _checkpoint(self, pair: Pair) -> Path:
        path = self._ended.trainings[pair].checkpoint
        assert path is not None, "a training that completed has a checkpoint"
        return self._run.folder / path

    def _keep(self, found: ConfirmationEntry, kept: Pair) -> BestFile:
        folder, header, end = self._run.folder, self._run.header, self._ended.trainings[kept]
        assert end.value is not None, "the winner has a value on every seed"
        assert end.epoch is not None, "and so it has a best epoch"
        tensors, facts = read_checkpoint(self._checkpoint(kept))
        test = {f"test/{name}": value for name, value in self._ended.tests[kept].items()}
        metrics = {**facts["metrics"], **test}
        write_checkpoint(folder / BEST_FOLDER, tensors, {**facts, "metrics": metrics, "kept": found.kept})
        content = BestFile(
            run=header.run,
            trainer=header.trainer,
            dataset=header.dataset,
            objective=(ObjectiveEntry(metric=header.objective.metric, mode=header.objective.mode),),
            best=BestEntry(
                trial=kept.trial,
                value=end.value,
                epoch=end.epoch,
                metrics=metrics,
                config=self._config(kept),
                checkpoint=BEST_FOLDER,
            ),
            trials=counts(self._run.state),
            confirmation=found,
        )
        write_best(folder / BEST_FILE, content)
        return content
