"""What searches find: Frechet distances after classification, GAN and generative training, beside the noise floor.

The distance is over all classes in unit range, as in Table I of Mossi, Zunkovic and Flouris 2024
(arXiv 2406.17441); outliers are samples farther from the real rows than any real row is. Models are judged on rows
that neither training nor selection saw: fresh tables of a synthetic set, the test rows of a real one.
`python -m benchmarks quality` runs nine searches of 64 trials; it takes about half an hour on two cores.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.table import Result
from bmtune.born import BornMachine
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.checkpoints import read_checkpoint
from bmtune.config.data import DataConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.data import fit_scaler
from bmtune.data import load_table
from bmtune.data import split_rows
from bmtune.evaluation import frechet_distance
from bmtune.evaluation import measure

NUM_SAMPLES = 2000
NUM_DRAWS = 20
"""Sets of samples whose distances are averaged: one set of 2000 rows moves the distance by as much as its floor."""
NUM_TABLES = 10
"""Fresh tables of a synthetic set that stand for its distribution: a split of one table would set the floor itself."""
TRIALS = int(os.environ.get("BMTUNE_BENCHMARK_TRIALS", "64"))


@dataclass(frozen=True)
class Task:
    """A data set, the paper's best distance on it, and what generative training is asked to reach.

    Attributes:
        dataset: Its name.
        paper: The paper's best distance after GAN-style training.
        asked: The distance asked of generative or mixed training.
        gan: Further options of the GAN search.
        generative: Further options of the generative search.
    """

    dataset: str
    paper: float
    asked: float
    gan: tuple[str, ...] = ()
    generative: tuple[str, ...] = ()


TASKS = (
    Task("spirals_4k", 1.52e-3, 1.5e-4, ("--max-epochs", "16"), ("--max-epochs", "40")),
    Task("moons_4k", 3.02e-4, 6e-5, ("--max-epochs", "16"), ("--max-epochs", "40")),
    Task(
        "iris", 1.96e-2, 7e-3, ("--max-epochs", "120", "--set", "trainer.ganstyle.patience=40"), ("--max-epochs", "80")
    ),
)


def run() -> list[Result]:
    """Three searches for each data set."""
    columns = ("data set", "training", "fid of 2000", "asked at most", "fid of 40000", "outliers", "test acc", "winner")
    table = Result(f"winners of searches of {TRIALS} trials", columns)
    with tempfile.TemporaryDirectory(prefix="bmtune-benchmark-") as folder:
        for task in TASKS:
            table.rows.append((task.dataset, "noise floor: fresh real rows", _floor(task.dataset), *["-"] * 5))
            table.rows.append((task.dataset, "the training rows", "-", "-", _training_rows(task.dataset), *["-"] * 3))
            for trainer, options, asked in (
                ("classification", (), "-"),
                ("gan", task.gan, task.paper),
                ("generative", task.generative, task.asked),
            ):
                found = _search(Path(folder), trainer, task.dataset, options)
                table.rows.append((task.dataset, trainer, found[0], asked, *found[1:]))
                sys.stderr.write(f"{table.rows[-1]}\n")
    return [table]


def _search(folder: Path, trainer: str, dataset: str, options: tuple[str, ...]) -> tuple[Any, ...]:
    name = f"{trainer}-{dataset}"
    command = [sys.executable, "-m", "bmtune.search", trainer, "--dataset", dataset, "--name", name]
    command += ["--confirm", "none"]
    small = ("--set", "trainer.classification.batch_size=16") if dataset == "iris" else ()
    log = subprocess.run(
        [*command, "--trials", str(TRIALS), *options, *small],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    sys.stderr.write("\n".join(line for line in log.stdout.splitlines() if "finished" in line) + "\n")
    tensors, facts = read_checkpoint(folder / "outputs" / name / "best")
    return (*_judged(TrialConfig.model_validate(facts["config"]), Cores(**tensors)), f"trial {facts['trial']}")


def _judged(config: TrialConfig, cores: Cores) -> tuple[float, float, float, float]:
    """Distance over all classes, that of all draws pooled, and on the test rows share of outliers and accuracy."""
    embedding = get_embedding(config.born.embedding)
    data = DataHandler(config.data, embedding.data_interval)
    chain = Chain.from_config(config.born, data.num_features, data.num_classes)
    machine = BornMachine(chain, cores)
    found = measure(("acc", "outliers"), chain, cores, data.splits["test"], config.evaluation, seed=1)
    low, high = embedding.data_interval
    real, distances, all_drawn = _unseen(config.data, 1, NUM_TABLES)[0], [], []
    for seed in range(NUM_DRAWS):
        drawn = machine.sample(NUM_SAMPLES // data.num_classes, torch.Generator().manual_seed(seed)).flatten(0, 1)
        all_drawn.append((drawn.double() - low) / (high - low))
        distances.append(float(frechet_distance(real, all_drawn[-1])))
    pooled = float(frechet_distance(real, torch.cat(all_drawn)))
    return sum(distances) / NUM_DRAWS, pooled, found["outliers"], found["acc"]


def _unseen(config: DataConfig, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Real rows and labels, on the scale of the training rows: fresh tables, or for a real set its test rows."""
    own = load_table(config.dataset, config.split_seed)
    rows = split_rows(own, config)
    scaler = fit_scaler(own.x[rows["train"]], (0.0, 1.0))
    if config.dataset == "iris":
        x, y = own.x[rows["test"]], own.y[rows["test"]]
    else:
        tables = [load_table(config.dataset, config.split_seed + seed) for seed in range(first, last + 1)]
        x, y = np.concatenate([table.x for table in tables]), np.concatenate([table.y for table in tables])
    return torch.from_numpy(scaler.transform(x)[0]), torch.from_numpy(y)


def _training_rows(dataset: str) -> float:
    """Distance of the training rows themselves: what a model that fits them perfectly has, sampled without end."""
    config = DataConfig(dataset=dataset)
    own = load_table(dataset, config.split_seed)
    train = own.x[split_rows(own, config)["train"]]
    scaled = torch.from_numpy(fit_scaler(train, (0.0, 1.0)).transform(train)[0])
    return float(frechet_distance(_unseen(config, 1, NUM_TABLES)[0], scaled))


def _floor(dataset: str) -> float:
    """The mean distance of real rows that no model saw: as many fresh rows as samples; iris has only its validation."""
    config = DataConfig(dataset=dataset)
    if dataset == "iris":
        own = load_table(dataset, config.split_seed)
        rows = split_rows(own, config)
        valid = fit_scaler(own.x[rows["train"]], (0.0, 1.0)).transform(own.x[rows["valid"]])[0]
        return float(frechet_distance(_unseen(config, 1, 1)[0], torch.from_numpy(valid)))
    real, (x, y) = _unseen(config, 1, NUM_TABLES)[0], _unseen(config, NUM_TABLES + 1, 2 * NUM_TABLES)
    generator, distances = torch.Generator().manual_seed(2), []
    for _ in range(NUM_DRAWS):
        order = torch.randperm(len(y), generator=generator)
        chosen = torch.cat([order[y[order] == label][: NUM_SAMPLES // 2] for label in (0, 1)])
        distances.append(float(frechet_distance(real, x[chosen])))
    return sum(distances) / NUM_DRAWS
