"""One search of trials that only sleep: `python -m benchmarks.scale_run SHAPE TRIALS SAMPLER`; prints JSON.

Shapes: `many`, short trials one after the other on 16 slots, a process each; `crowd`, all trials at once, in four
processes, each with a report every 10 seconds. Everything but the training itself is as in any search: Ray, Tune,
hosts, checkpoints, records, study.
"""

import gc
import json
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from statistics import quantiles
from typing import Any

from bmtune.config.root import TrialConfig
from bmtune.config.space import load_space
from bmtune.search.cluster import ENVIRONMENT
from bmtune.search.cluster import LOCAL_OPTIONS
from bmtune.search.cluster import local_environment

# Ray reads them when it is imported.
os.environ.update(ENVIRONMENT | local_environment())

import ray
import torch

from bmtune.records import Epoch
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import from_line
from bmtune.search import adapters
from bmtune.search.driver import Backend
from bmtune.search.driver import run_search
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import SearchState
from bmtune.search.trainable import BornTrial
from bmtune.search.trial_start import Saved
from bmtune.training import EpochReport
from bmtune.training import Status

SLOTS, TRIAL_S = 16, 1.0
CROWD_HOSTS, REPORT_S = 4, 10.0
REPORTS = int(os.environ.get("BMTUNE_BENCHMARK_REPORTS", "20"))
WINDOW = 100
"""Proposals after the thousandth trial whose latency is told."""

SPACE = """
trainer: classification
objective: {{metric: loss}}
budget: {{trials: {trials}, max_epochs: 1000, grace: 1000}}
run: {{scheduler: none, sampler: {sampler}, pack: {pack}, max_concurrent: {at_once}, report_every_s: 0}}
base: {{name: "{name}", data: {{dataset: moons_small}}}}
parameters:
  trainer.classification.optimizer.lr: {{type: float, low: 1.0e-4, high: 1.0e-1, log: true}}
  born.init_std: {{type: float, low: 1.0e-4, high: 1.0e-1, log: true}}
  born.bond_dim: {{type: int, low: 2, high: 32}}
"""


class Sleeping:
    """A training of a few epochs without numbers; the packing sleeps for all of a host."""

    def __init__(self, config: TrialConfig, device: str, saved: Saved | None) -> None:
        """Starts."""
        self.config = config
        self.epoch = self.counted = 0

    def report(self, counts: int, epochs: int) -> EpochReport:
        """The next epoch, which counts or not; it ends after so many that do."""
        self.epoch += 1
        self.counted += counts
        lr, width = self.config.trainer.classification.optimizer.lr, self.config.born.bond_dim
        metrics = {"loss": abs(lr - 1e-2) + width / 100 + 1 / self.epoch}
        status = Status.FINISHED if self.counted == epochs else Status.RUNNING
        return EpochReport(
            "pre",
            self.epoch,
            self.epoch,
            metrics,
            0.0,
            status,
            eligible=True,
            best_epoch=self.epoch,
            best_metrics=metrics,
        )

    def last(self) -> Saved:
        """A checkpoint of the usual form."""
        return {"cores": torch.zeros(64)}, {"epoch": self.epoch}

    def best(self) -> dict[str, torch.Tensor]:
        """The same."""
        return {"cores": torch.zeros(64)}


class Short:
    """Each trial sleeps for a second and ends."""

    def key(self, training: Sleeping) -> int:
        """One by one: each host has one."""
        return id(training)

    def width(self, trainings: Sequence[Sleeping]) -> int:
        """See `Packing.width`."""
        return 1

    def advance(self, trainings: Sequence[Sleeping]) -> list[EpochReport]:
        """See `Packing.advance`."""
        time.sleep(TRIAL_S)
        return [training.report(1, 1) for training in trainings]


class Crowd:
    """All trials of a host report every ten seconds, from the moment on when all of the search are there."""

    def key(self, training: Sleeping) -> int:
        """All together."""
        return 0

    def width(self, trainings: Sequence[Sleeping]) -> int:
        """See `Packing.width`."""
        return len(trainings)

    def advance(self, trainings: Sequence[Sleeping]) -> list[EpochReport]:
        """See `Packing.advance`."""
        folder, wanted = trainings[0].config.name.removeprefix("in ").split(" for ")
        Path(folder, str(os.getpid())).write_text(str(len(trainings)))
        there = sum(int(path.read_text() or 0) for path in Path(folder).iterdir())
        whole = there >= int(wanted)
        began = Path(folder).parent / "whole" / str(os.getpid())
        if whole and not began.exists():
            began.write_text(str(time.time()))
        time.sleep(REPORT_S if whole else 0.5)
        return [training.report(int(whole), REPORTS) for training in trainings]


class ShortTrial(BornTrial):
    """A trial of one second."""

    make_training = Sleeping
    packing = Short()


class CrowdTrial(BornTrial):
    """A trial among many."""

    make_training = Sleeping
    packing = Crowd()


class Clock:
    """A listener that looks at the clock and at this process's memory."""

    def __init__(self) -> None:
        """Nothing heard yet."""
        self.first = self.counting = self.last = 0.0
        self.records = 0
        self.memory: dict[int, int] = {}
        self.times: dict[int, float] = {}
        self.ended = 0

    def on_record(self, record: Any) -> None:
        """See `Listener`."""
        now = time.time()
        self.records += 1
        self.first = self.first or (now if isinstance(record, TrialStarted) else 0.0)
        if isinstance(record, Epoch):
            self.last = now
        if isinstance(record, TrialFinished):
            self.ended, self.last = self.ended + 1, now
            if self.ended % 100 == 0:
                self.memory[self.ended], self.times[self.ended] = resident(), now - self.first


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed_proposals() -> list[float]:
    """Seconds that each new trial made its slot wait, as they come."""
    found: list[float] = []
    begin = adapters.begin_trial

    def timed(ledger: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return begin(ledger, **options)
        finally:
            found.append(time.perf_counter() - began)

    adapters.begin_trial = timed
    return found


def main(shape: str, trials: int, sampler: str) -> None:
    """Runs the search and prints what was found."""
    crowd = shape == "crowd"
    proposals, clock = timed_proposals(), Clock()
    with tempfile.TemporaryDirectory(prefix="bmtune-scale-") as folder:
        for place in ("there", "whole"):
            (Path(folder) / place).mkdir()
        name = f"in {folder}/there for {trials}" if crowd else "sleeping"
        pack, at_once = (-(-trials // CROWD_HOSTS), trials) if crowd else (1000, SLOTS)
        text = SPACE.format(trials=trials, sampler=sampler, pack=pack, at_once=at_once, name=name)
        (Path(folder) / "space.yaml").write_text(text)
        space = load_space(Path(folder) / "space.yaml")
        began = time.monotonic()
        ray.init(**LOCAL_OPTIONS, num_cpus=CROWD_HOSTS if crowd else SLOTS, _temp_dir=f"{folder}/ray")
        resolved = ResolvedSearch(space, Path(folder) / "run", None, "hash")
        cpu = time.process_time()
        trial = CrowdTrial if crowd else ShortTrial
        run_search(resolved, clock, backend=Backend(trial, lambda config, cores: {}))
        cpu = time.process_time() - cpu
        ray.shutdown()
        seconds = time.monotonic() - began
        wholes = [float(path.read_text()) for path in (Path(folder) / "whole").iterdir()]
        lines = (Path(folder) / "run" / "records.jsonl").read_bytes().splitlines()
        late = proposals[1000 : 1000 + WINDOW] or proposals[-WINDOW:]
        print(
            json.dumps(
                {
                    "seconds": seconds,
                    "training_s": clock.last - max([clock.first, *wholes]),
                    "cpu_s": cpu,
                    "records": clock.records,
                    "proposal_ms": median(late) * 1e3,
                    "proposal_p95_ms": quantiles(late, n=20)[-1] * 1e3,
                    "resident": clock.memory,
                    "ended_at": clock.times,
                    "ours_a_trial": state_bytes(space, lines) / trials,
                }
            )
        )


def state_bytes(space: Any, lines: Sequence[bytes]) -> int:
    """Bytes of the state of a search: what we keep of its trials, Optuna and records included; the rest is Ray's."""
    gc.collect()
    tracemalloc.start()
    state = SearchState.replay(space, map(from_line, lines))
    gc.collect()
    found = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert state.finished, "trials have ended"
    return found


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
