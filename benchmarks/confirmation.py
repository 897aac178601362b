"""What a confirmation costs: 3 + 1 configurations on 5 seeds each, against one trial of them trained alone.

On `moons_4k` (d=10, D=6, B=64), 100 epochs of classification, nothing stopped early; the alone trial has one thread,
the confirmation all processors. `BMTUNE_BENCHMARK_EPOCHS` makes it smaller.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import ROOT
from benchmarks.table import Result
from bmtune.config.best import read_best
from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.search.confirm_choice import Wish
from bmtune.search.confirm_command import confirm_run

SPACE = """
trainer: classification
objective: {{metric: loss}}
budget: {{trials: 8, max_epochs: {epochs}, grace: 1}}
run: {{scheduler: none, confirm: none}}
base:
  data: {{dataset: moons_4k}}
  born: {{embedding: fourier, physical_dim: 10, bond_dim: 6}}
  trainer: {{classification: {{batch_size: 64, patience: {epochs}, optimizer: {{name: adam, lr: 1e-4}}}}}}
parameters:
  trainer.classification.optimizer.lr: {{type: float, low: 1e-4, high: 1e-2, log: true}}
"""
EPOCHS = int(os.environ.get("BMTUNE_BENCHMARK_EPOCHS", "100"))
WISH = Wish(top=3, seeds=5)
ASKED = 2.0
"""Times as long as one trial that all trainings are asked to take at most."""


class Stopwatch:
    """When a confirmation's trainings began and ended, by what it tells."""

    def __init__(self) -> None:
        self.asked = self.first = self.last = float("nan")
        self.trainings = 0

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Notes the time of the first message, of the first epoch and of the last end."""
        now = time.perf_counter()
        if not self.asked > 0:
            self.asked = now
        if not self.first > 0 and progress.epochs:
            self.first = now
        if progress.latest is not None:
            self.last, self.trainings = now, self.trainings + 1


def alone(folder: Path) -> float:
    """Seconds of one trial of the run's configuration, trained in this process."""
    from bmtune.search.solo import SoloTraining

    training = SoloTraining(read_best(folder / "best.yaml").best.config, "cpu", None)
    began, ended = time.perf_counter(), False
    while not ended:
        ended = training.advance().status.ended
    return time.perf_counter() - began


def run() -> list[Result]:
    """A search of few trials, one trial alone before and after, and the confirmation between them."""
    columns = ("trainings", "epochs", "one trial s", "trainings s", "times one trial", "asked", "met", "with start s")
    table = Result("3 + 1 configurations on 5 seeds, as packs", columns)
    with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as root:
        # No measurement is taken from, or left to, other searches of this machine.
        os.environ["XDG_CACHE_HOME"] = root
        (Path(root) / "space.yaml").write_text(SPACE.format(epochs=EPOCHS), encoding="utf-8")
        options = ("classification", "--space", "space.yaml", "--name", "run")
        command = [sys.executable, "-m", "bmtune.search", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
        folder, watch = Path(root) / "outputs" / "run", Stopwatch()
        before = alone(folder)
        confirm_run(folder, WISH, watch)
        single = (before + alone(folder)) / 2
    seconds = watch.last - watch.first
    ratio = seconds / single
    whole = watch.last - watch.asked
    table.rows.append((watch.trainings, EPOCHS, single, seconds, ratio, ASKED, ratio <= ASKED, whole))
    return [table]
