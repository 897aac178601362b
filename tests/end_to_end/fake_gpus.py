"""A search on a Ray of several nodes with 4 GPUs each that do not exist: `python fake_gpus.py FOLDER NODES`.

Ray places work on them and tells each process its own, as with real ones; the real recipe trains on the processor.
The run is left in `FOLDER/run`, and for each trial a line "node, GPU, seconds of its first and last epoch" in
`FOLDER/places`.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bmtune.config.root import TrialConfig
from bmtune.config.space import load_space
from bmtune.search.cluster import ENVIRONMENT
from bmtune.search.cluster import local_environment

# Ray reads them when it is imported; without a token, and beyond loopback, the search would refuse the cluster.
os.environ.update(ENVIRONMENT | local_environment())

import ray
from ray.cluster_utils import Cluster

from bmtune.search.driver import Backend
from bmtune.search.driver import run_search
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.solo import SoloTraining
from bmtune.search.solo import Together
from bmtune.search.trainable import BornTrial
from bmtune.search.trial_start import Saved
from bmtune.training import EpochReport

GPUS, SHARE = 4, 0.25
A_NODE = 16
"""Trials of a node at once."""

TRIALS = 32

SPACE = """
trainer: classification
objective: {{metric: loss}}
budget: {{trials: {trials}, max_epochs: 60, grace: 1}}
run: {{seed: 3, sampler: random, scheduler: none, gpus_per_trial: {share}}}
base: {{name: "in {places}", data: {{dataset: moons_small}}}}
parameters:
  trainer.classification.optimizer.lr: {{type: float, low: 1.0e-4, high: 1.0e-2, log: true}}
  born.bond_dim: {{type: int, low: 2, high: 6}}
"""


class OnFakeGpu(SoloTraining):
    """The real training, on the processor."""

    def __init__(self, config: TrialConfig, device: str, saved: Saved | None) -> None:
        assert device == "cuda", "the search asked for a GPU"
        super().__init__(config, "cpu", saved)


class Marked(Together):
    """Trains in packs as ever, and marks where and when; trials take their time until as many run as should at once."""

    def advance(self, trainings: Sequence[SoloTraining]) -> Sequence[EpochReport]:
        now, node = time.time(), ray.get_runtime_context().get_node_id()
        for training in trainings:
            config = training.lane.problem.config
            places, wanted = config.name.removeprefix("in ").split(" for ")
            mark = Path(places, str(config.seed))
            first = mark.read_text().split()[2] if mark.exists() else now
            mark.write_text(f"{node} {os.environ['CUDA_VISIBLE_DEVICES']} {first} {now}")
        if len(list(Path(places).iterdir())) < int(wanted):
            time.sleep(1)
        return super().advance(trainings)


class MarkedTrial(BornTrial):
    make_training = OnFakeGpu
    packing = Marked()


class Silent:
    """A listener that hears nothing."""

    def on_record(self, record: Any) -> None:
        pass


def main(folder: Path, nodes: int) -> None:
    logging.disable(logging.WARNING)
    (folder / "places").mkdir(parents=True)
    args = {"num_cpus": GPUS, "num_gpus": GPUS, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=args)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=GPUS, num_gpus=GPUS)
        at_once = A_NODE * nodes
        text = SPACE.format(trials=max(TRIALS, at_once), share=SHARE, places=f"{folder / 'places'} for {at_once}")
        (folder / "space.yaml").write_text(text)
        resolved = ResolvedSearch(load_space(folder / "space.yaml"), folder / "run", cluster.address, "hash")
        run_search(resolved, Silent(), backend=Backend(MarkedTrial))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
