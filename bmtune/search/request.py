"""What a user asks of a search, before anything is checked."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SearchRequest:
    """A search as it was asked for; None means: as the search space says.

    Attributes:
        trainer: Name of the recipe; None: that of the run that is resumed.
        space: File of the search space; None: the one that comes with bmtune.
        dataset: Name of the data set.
        trials: Trials in all.
        max_epochs: Epochs of the main phase in one trial's whole budget.
        time_budget_s: Seconds after which the search ends.
        metrics: The objectives.
        constraints: What a trial must satisfy to win, such as "fid <= 0.01".
        seed: Seed of the proposals.
        name: Name of the run; None: made from trainer, data set and time.
        storage: Folder of all runs.
        copy_at: Address below which a copy of the run is kept, `storage` being the folder here; None: there is no copy.
        address: Ray cluster to join; None: one of its own on this machine.
        allow_open_cluster: Whether to join a cluster too that asks nobody for a token.
        overrides: (path, value as text) pairs that fix hyperparameters.
        scheduler: "asha" or "none".
        halving: "promote" or "stop".
        sampler: "tpe" or "random".
        pack: "auto", or the number of trials that one process trains together, as text or number.
        cpus_per_trial: Processors of one process that trains.
        gpus_per_trial: GPUs of one trial, whole, 1/k or "auto", as text or number.
        resources: (name, amount) pairs of what else of a cluster a trial occupies.
        max_concurrent: Trials at once.
        report_every_s: Seconds between two reports of one trial; 0: a report after every epoch.
        max_failures: How often a trial goes on after its process was lost.
        pre_cache: Folder of results of pre-training that several runs share; None: one in the run folder.
        wandb: "online" or "offline".
        confirm: "K:S", "auto" or "none".
        resume: Whether to go on with the run called `name`, or with the newest one.
        force: Whether, where that run cannot go on as asked, a new one learns from its trials.
        from_run: A run whose best configurations are tried first and from whose trials proposals learn.
        from_top: How many of its configurations are tried first; None: 5.
        enqueue: Files of configurations that are tried first.
    """

    trainer: str | None
    space: Path | None = None
    dataset: str | None = None
    trials: int | None = None
    max_epochs: int | None = None
    time_budget_s: float | None = None
    metrics: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    seed: int | None = None
    name: str | None = None
    storage: Path = Path("outputs")
    copy_at: str | None = None
    address: str | None = None
    allow_open_cluster: bool = False
    overrides: tuple[tuple[str, str], ...] = ()
    scheduler: str | None = None
    halving: str | None = None
    sampler: str | None = None
    pack: str | int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: float | str | None = None
    resources: tuple[tuple[str, float], ...] | None = None
    max_concurrent: int | None = None
    report_every_s: float | None = None
    max_failures: int | None = None
    pre_cache: str | None = None
    wandb: str | None = None
    confirm: str | None = None
    resume: bool = False
    force: bool = False
    from_run: str | None = None
    from_top: int | None = None
    enqueue: tuple[Path, ...] = ()
