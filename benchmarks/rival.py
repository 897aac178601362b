"""The ordinary Ray Tune way: Optuna proposes, a class trains tensorkrowch's `MPSLayer`, each trial in an actor.

As fast as it can fairly be: actors are used again, each has one processor and one thread, rows are read and embedded
once an actor, Tune writes no logs and no checkpoints, and Ray is started as a search of bmtune starts it.
It is a command, `python -m benchmarks.rival` in the environment `variables()`; its last line is JSON.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from typing import Any

import optuna
import ray
import ray.tune
import tensorkrowch
import torch
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from bmtune.born import get_embedding
from bmtune.config.data import DataConfig
from bmtune.data import DataHandler
from bmtune.search.cluster import ENVIRONMENT
from bmtune.search.cluster import LOCAL_OPTIONS
from bmtune.search.cluster import local_environment

DATASET, PHYSICAL_DIM, BOND_DIM, BATCH_SIZE = "moons_4k", 10, 6, 256
GRACE, ETA = 3, 3
START = {"lr": 1e-2, "init_std": 1e-2}
RANGES = {"lr": (2e-4, 5e-2), "init_std": (1e-5, 5e-2)}
FIRST_EPOCH = "first epoch"


def variables() -> dict[str, str]:
    """The environment that a search of bmtune gives to Ray, which reads it when it is imported."""
    return ENVIRONMENT | local_environment()


class TensorkrowchTrial(ray.tune.Trainable):
    """Trains an `MPSLayer` as a classifier, an epoch a step."""

    def setup(self, config: dict[str, Any]) -> None:
        """Reads and embeds the rows, and begins the actor's first trial."""
        torch.set_num_threads(1)
        data = DataHandler(DataConfig(dataset=DATASET), get_embedding("fourier").data_interval)
        self._rows = {
            name: (tensorkrowch.embeddings.fourier(split.x.float(), dim=PHYSICAL_DIM), split.y)
            for name, split in data.splits.items()
        }
        self._sizes = {"n_features": data.num_features + 1, "out_dim": data.num_classes}
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins a trial; True tells Tune that the actor can be used again."""
        self._layer = tensorkrowch.models.MPSLayer(
            in_dim=PHYSICAL_DIM, bond_dim=BOND_DIM, init_method="randn_eye", std=new_config["init_std"], **self._sizes
        )
        self._layer.auto_stack, self._layer.auto_unbind = True, False
        self._layer.trace(self._rows["train"][0][:1])
        self._optimizer = torch.optim.Adam(self._layer.parameters(), lr=new_config["lr"])
        return True

    def step(self) -> dict[str, Any]:
        """An epoch, and what the model is worth on the validation rows after it."""
        began = perf_counter()
        x, y = self._rows["train"]
        for index in torch.randperm(len(y)).split(BATCH_SIZE):
            loss = _negative_log_likelihood(self._layer(x[index]), y[index])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        trained = perf_counter()
        x, y = self._rows["valid"]
        with torch.no_grad():
            amplitudes = self._layer(x)
            found = {
                "loss": float(_negative_log_likelihood(amplitudes, y)),
                "acc": float((amplitudes.abs().argmax(-1) == y).float().mean()),
            }
        return {**found, "train_s": trained - began, "valid_s": perf_counter() - trained}


def _negative_log_likelihood(amplitudes: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    weight = amplitudes.square()
    probability = weight / weight.sum(-1, keepdim=True).clamp(min=1e-30)
    return -probability[torch.arange(len(y)), y].clamp(min=1e-8).log().mean()


class Tally(ray.tune.Callback):
    """Tells of the first epoch, and adds up all of them."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.best = {"loss": float("inf"), "acc": 0.0}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Takes an epoch in."""
        if not self.sums:
            print(FIRST_EPOCH, flush=True)
        self.sums["epochs"] += 1
        for name in ("train_s", "valid_s"):
            self.sums[name] += result[name]
        self.best = {
            "loss": min(self.best["loss"], result["loss"]),
            "acc": max(self.best["acc"], result["acc"]),
        }


def search(trials: int, epochs: int, scheduler: str, folder: Path) -> dict[str, float]:
    """Runs the search on a Ray of its own.

    Args:
        trials: Trials in all.
        epochs: Most epochs of one trial.
        scheduler: "asha" or "none".
        folder: Where Tune and Ray put their files.

    Returns:
        Epochs of all trials, their seconds of training and of validation, the best values, and failed trials.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ray.init(**LOCAL_OPTIONS, _temp_dir=str(folder))
    tally = Tally()
    halving = ASHAScheduler(grace_period=min(GRACE, epochs), reduction_factor=ETA, max_t=epochs)
    tuner = ray.tune.Tuner(
        ray.tune.with_resources(TensorkrowchTrial, {"cpu": 1}),
        param_space={name: ray.tune.loguniform(*ends) for name, ends in RANGES.items()},
        tune_config=ray.tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=trials,
            max_concurrent_trials=os.cpu_count(),
            reuse_actors=True,
            search_alg=OptunaSearch(sampler=optuna.samplers.TPESampler(seed=0), points_to_evaluate=[START]),
            scheduler=halving if scheduler == "asha" else None,
        ),
        run_config=ray.tune.RunConfig(
            name="rival",
            storage_path=str(folder),
            stop={"training_iteration": epochs},
            checkpoint_config=ray.tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[tally],
            verbose=0,
        ),
    )
    failed = tuner.fit().num_errors
    ray.shutdown()
    return {**tally.sums, **tally.best, "failed": failed}


def main(arguments: list[str]) -> int:
    """Parses, searches, prints."""
    parser = argparse.ArgumentParser(description="The ordinary Ray Tune way.")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--scheduler", choices=("asha", "none"), default="none")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bmtune-rival-") as folder:
        print(json.dumps(search(chosen.trials, chosen.epochs, chosen.scheduler, Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
