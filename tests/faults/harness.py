"""Searches that are killed, torn and damaged at random, resumed until they end, and held against an undisturbed one.

`python tests/faults/harness.py ROUNDS [FAULT ...]` prints a table; a round takes some 15 to 60 seconds of each fault.
Every search is a real one: a process of its own with a Ray of its own.
"""

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from bmtune.audit import audit
from bmtune.records import Epoch
from bmtune.records import RunFinished
from bmtune.records import RunResumed
from bmtune.records import TrialFinished
from bmtune.records import read_records

NAME = "run"
SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 6, max_epochs: 150}
run: {scheduler: none, sampler: random, confirm: none, checkpoint_every: 5}
base:
  data: {dataset: moons_small}
  born: {dtype: float64, embedding: fourier}
  trainer: {classification: {batch_size: 8, patience: 1000, optimizer: {lr: 1e-4}}}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-6, high: 1e-4, log: true}
  born.bond_dim: {type: int, low: 2, high: 8}
"""
TOLERANCE = 1e-9
"""Relative, of metrics in float64: trials share packs with others than in the undisturbed search, so sums are rounded
in another order. With large learning rates training itself makes such differences grow, so here they are small."""

STARTING, START_S = 0.2, 4.0
"""Share of kills that come while Ray starts, and the seconds in which they do."""

MOST_STARTS = 60
PATIENCE_S = 200.0

Table = Mapping[tuple[int, str, int], Mapping[str, float]]
"""Metrics by trial, phase and epoch."""


@dataclass
class Outcome:
    """What became of a search.

    Attributes:
        faults: Times that it was hurt.
        resumes: Times that it went on.
        lost: Epochs of the undisturbed search that it lacks.
        other: Those that it has with other numbers.
        doubled: Epochs that it has twice, or that are none of the undisturbed one's.
        wrong: What an audit of its records says, trials that did not complete, and dirt that was left.
    """

    faults: int = 0
    resumes: int = 0
    lost: int = 0
    other: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Search:
    """A search in a folder of its own."""

    folder: Path

    @property
    def records(self) -> Path:
        """Its records file."""
        return self.folder / "outputs" / NAME / "records.jsonl"

    def start(self) -> subprocess.Popen[bytes]:
        """Begins it, or goes on with it where it has begun."""
        (self.folder / "space.yaml").write_text(SPACE)
        begun = (self.records.parent / "search.yaml").exists()
        options = ["--resume"] if begun else ["classification", "--space", "space.yaml"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bmtune.search", *options, "--name", NAME],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def command(self, *words: str) -> int:
        """The exit code of another command of bmtune about it."""
        done = subprocess.run(
            [sys.executable, "-m", "bmtune", *words, f"outputs/{NAME}"],
            cwd=self.folder,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode

    @property
    def epochs(self) -> int:
        """How many epochs it has recorded."""
        return self.records.read_bytes().count(b'"kind":"epoch"') if self.records.exists() else 0

    @property
    def has_ended(self) -> bool:
        """Whether its last record says so."""
        return self.records.exists() and any(
            isinstance(record, RunFinished) for record in read_records(self.records).records[-1:]
        )

    def wait_for(self, process: subprocess.Popen[bytes], holds: Callable[[], bool]) -> None:
        """Waits until something holds of it, or its process has ended."""
        until = time.monotonic() + PATIENCE_S
        while not holds() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)


def undisturbed(folder: Path) -> Table:
    """The epochs of a search that nothing befalls."""
    search = Search(folder)
    with _running(search) as process:
        assert process.wait(PATIENCE_S) == 0, (folder / "log.txt").read_text()[-2000:]
    return _table(search)[0]


def _table(search: Search) -> tuple[Table, int]:
    """Its epochs, and how many it has twice."""
    found: dict[tuple[int, str, int], Mapping[str, float]] = {}
    twice = 0
    for record in read_records(search.records).records:
        if isinstance(record, Epoch):
            key = (record.trial, record.phase, record.epoch)
            twice += key in found
            found[key] = record.metrics
    return found, twice


def compared(search: Search, whole: Table, outcome: Outcome) -> Outcome:
    """Fills in what the search came to, held against the undisturbed one."""
    found, twice = _table(search)
    records = read_records(search.records).records
    outcome.resumes = sum(isinstance(record, RunResumed) for record in records)
    outcome.lost = sum(key not in found for key in whole)
    outcome.other = sum(key in found and not _equal(found[key], values) for key, values in whole.items())
    outcome.doubled = twice + sum(key not in whole for key in found)
    outcome.wrong += audit(records)
    ended = [record for record in records if isinstance(record, TrialFinished)]
    outcome.wrong += [f"trial {end.trial} {end.status}: {end.reason}" for end in ended if end.status != "completed"]
    return outcome


def _equal(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(
        math.isclose(one[name], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for name, value in other.items()
    )


@contextmanager
def _running(search: Search) -> Iterator[subprocess.Popen[bytes]]:
    process = search.start()
    try:
        yield process
    finally:
        # Ray's own processes outlive a driver that was killed for a moment; they are all in its session.
        _kill(process.pid, whole=True)
        process.wait(PATIENCE_S)


def _kill(pid: int, *, whole: bool) -> None:
    with suppress(ProcessLookupError):
        if whole:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def kill_driver(search: Search, chance: random.Random, epochs: int, *, whole: bool = False) -> int:
    """Kills the driver, or its whole process group, once at a random moment; then lets the search end.

    One time in five that is a moment before it trains, else one while it trains.
    """
    with _running(search) as process:
        if chance.random() < STARTING:
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.2, START_S))
        else:
            _wait_for_epochs(search, process, chance, epochs)
        faults = int(process.poll() is None)
        _kill(process.pid, whole=whole)
        process.wait(PATIENCE_S)
    return faults


def _wait_for_epochs(search: Search, process: subprocess.Popen[bytes], chance: random.Random, epochs: int) -> None:
    """Waits until a random number of all epochs is recorded: as good as any moment, however busy the machine is."""
    wanted = chance.randint(1, round(0.8 * epochs))
    search.wait_for(process, lambda: search.epochs >= wanted)
    # Records come in batches.
    time.sleep(chance.uniform(0, 0.1))


def kill_group(search: Search, chance: random.Random, epochs: int) -> int:
    """See `kill_driver`."""
    return kill_driver(search, chance, epochs, whole=True)


def kill_host(search: Search, chance: random.Random, epochs: int) -> int:
    """Kills one of the processes that train at a random moment, and waits for the end."""
    with _running(search) as process:
        _wait_for_epochs(search, process, chance, epochs)
        hosts = _hosts(process.pid)
        if hosts:
            _kill(chance.choice(hosts), whole=False)
        process.wait(PATIENCE_S)
    return int(bool(hosts))


def _hosts(driver: int) -> list[int]:
    """The processes below this one that Ray trains in."""
    parents, hosts = dict[int, int](), list[int]()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().startswith(b"ray::Host"):
                    hosts.append(int(entry.name))
    return [host for host in hosts if driver in _above(host, parents)]


def _above(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


def tear_tail(search: Search, chance: random.Random, epochs: int) -> int:
    """Kills the group, and cuts the records file at a random offset behind its first line."""
    kill_group(search, chance, epochs)
    if not search.records.exists():
        return 1
    content = search.records.read_bytes()
    first = content.find(b"\n") + 1
    # As much as a disk loses that had not been told to keep the last second.
    search.records.write_bytes(content[: chance.randint(max(first, len(content) - 4000), max(first, len(content)))])
    return 1


def flip_bit(search: Search, chance: random.Random, epochs: int) -> int:
    """Kills the group, flips a bit of the records behind the first line, and has the run repaired."""
    kill_group(search, chance, epochs)
    if not search.records.exists():
        return 1
    content = bytearray(search.records.read_bytes())
    first = content.find(b"\n") + 1
    if len(content) <= first:
        return 1
    place = chance.randrange(first, len(content))
    content[place] ^= 1 << chance.randrange(8)
    search.records.write_bytes(bytes(content))
    assert search.command("doctor", "--repair") in (0, 1), "a repair does not fail"
    return 1


COUNTED = ("faults", "resumes", "lost", "other", "doubled")

FAULTS: dict[str, Callable[[Search, random.Random, int], int]] = {
    "driver killed": kill_driver,
    "whole process group killed": kill_group,
    "host killed": kill_host,
    "tail torn off": tear_tail,
    "bit flipped, repaired": flip_bit,
}


def disturbed(fault: str, folder: Path, seed: int, whole: Table) -> Outcome:
    """A search that meets a fault once, and is resumed until it ends."""
    search, outcome, chance = Search(folder), Outcome(), random.Random(seed)
    outcome.faults = FAULTS[fault](search, chance, len(whole))
    for _ in range(MOST_STARTS):
        if search.has_ended:
            return compared(search, whole, outcome)
        with _running(search) as process:
            process.wait(PATIENCE_S)
    raise AssertionError(f"the search in {folder} does not end: {(folder / 'log.txt').read_text()[-2000:]}")


def main(rounds: int, faults: Sequence[str] = ()) -> int:
    """Prints what became of so many searches for each fault; 1 where anything was lost, doubled or wrong."""
    place = Path(tempfile.mkdtemp(prefix="bmtune-faults-"))
    whole = undisturbed(_fresh(place / "undisturbed"))
    print(f"{len(whole)} epochs undisturbed; {place}", flush=True)
    heads = "rounds faults resumes  lost other doubled wrong"
    print(f"{'fault':28} {heads}")
    bad = 0
    for fault in faults or FAULTS:
        found = [
            disturbed(fault, _fresh(place / f"{fault.replace(' ', '-')}-{seed}"), seed, whole) for seed in range(rounds)
        ]
        sums = [sum(getattr(outcome, name) for outcome in found) for name in COUNTED]
        wrong = [text for outcome in found for text in outcome.wrong]
        bad += sum(sums[2:]) + len(wrong)
        hurt, resumes, *others = sums
        told = " ".join(f"{number:{width}}" for number, width in zip((*others, len(wrong)), (5, 5, 7, 5), strict=True))
        print(f"{fault:28} {rounds:6} {hurt:6} {resumes:7} {told}", flush=True)
        for text in wrong[:5]:
            print(f"    {text}")
    if not bad:
        shutil.rmtree(place)
    return int(bad > 0)


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:]))
