"""`bmtune search`: many trials, one best configuration."""

from pathlib import Path
from typing import Annotated
from typing import Literal

import typer

from bmtune.cli.assignments import split_amounts
from bmtune.cli.assignments import split_assignments
from bmtune.cli.durations import parse_duration

# Written out, and compared with the configuration by a test: importing it here would double the time of `--help`.
TRAINERS = ("classification", "gan", "generative", "adversarial")
DATASETS = (
    *("moons", "moons_4k", "moons_hard", "moons_small"),
    *("circles", "circles_4k", "circles_hard", "circles_small"),
    *("spirals", "spirals_4k", "spirals_hard", "spirals_small"),
    *("digits", "iris", "wine", "breast_cancer", "mnist", "fashion_mnist"),
)
METRICS = {
    "acc": "accuracy of the predicted class, max",
    "loss": "class negative log-likelihood, min",
    "genloss": "joint negative log-likelihood, min",
    "fid": "Frechet distance of samples to real rows, min",
    "outliers": "samples far from all real rows, min",
    "rob": "accuracy under attack, max",
    "rob_strong": "accuracy under the strongest attacks, max",
}
_SPACES = "the search space's"
_METRICS = "; ".join(f"{name} ({meaning})" for name, meaning in METRICS.items())


def search(
    trainer: Annotated[
        str | None,
        typer.Argument(
            metavar="TRAINER",
            help=f"What is trained: {' or '.join(TRAINERS)}.",
            show_default="needed, but for --resume",
        ),
    ] = None,
    *,
    space: Annotated[
        Path | None,
        typer.Option(
            "--space", metavar="FILE", help="The search space.", show_default="the one that comes with bmtune"
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help=f"The data: {', '.join(DATASETS)}, ucr/NAME, or a path to a .csv, .tsv, .npz or .parquet file.",
            show_default=_SPACES,
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="Most trials.", show_default=_SPACES)
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option("--max-epochs", metavar="E", help="Most epochs of one trial's main phase.", show_default=_SPACES),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            "--time-budget",
            metavar="TIME",
            help="End after this time: 90s, 10m, 1.5h; a resumed run has all of it again.",
            show_default="no limit",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help=f"What to optimise: {_METRICS}. Several may be given: then the Pareto set is searched.",
            show_default=_SPACES,
        ),
    ] = None,
    constraints: Annotated[
        list[str] | None,
        typer.Option(
            "--constraint",
            metavar="TEXT",
            help="What a trial must satisfy to win, like 'fid <= 0.01'; may be repeated.",
            show_default=_SPACES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the search and of its trials.", show_default=_SPACES),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the run.", show_default="trainer, data and time"),
    ] = None,
    storage: Annotated[
        str,
        typer.Option(
            "--storage",
            metavar="DIR",
            help="Folder of all runs, or an address such as s3://bucket/runs or gs://bucket/runs: then the run is "
            "written on this machine, and copied there while it goes on.",
        ),
    ] = "outputs",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDR",
            help="Ray cluster to join: auto, or its address.",
            show_default="one of its own on this machine",
        ),
    ] = None,
    allow_open_cluster: Annotated[
        bool,
        typer.Option(
            "--allow-open-cluster",
            help="Join a cluster too that asks for no token: whoever reaches its ports runs code on it.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run called NAME, or with the newest one in DIR. Trials, time, resources, packs and "
            "reports may be given anew; all else stays.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Where options forbid to resume, start a new run that learns from the old one's finished trials.",
        ),
    ] = False,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Try the best configurations of another run first, and let proposals learn from its trials.",
            show_default="none",
        ),
    ] = None,
    from_top: Annotated[
        int | None,
        typer.Option(
            "--from-top", metavar="K", help="So many configurations of that run are tried first.", show_default="5"
        ),
    ] = None,
    enqueue: Annotated[
        list[Path] | None,
        typer.Option(
            "--enqueue",
            metavar="FILE",
            help="Try this configuration first: a best.yaml, or values as in base; may be repeated.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Fix a value, by dotted path; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved search and write nothing.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Write one JSON object a line for each event, and nothing else, for programs."),
    ] = False,
    scheduler: Annotated[
        Literal["asha", "none"] | None,
        typer.Option("--scheduler", help="Halving stops weak trials, or nothing does.", show_default=_SPACES),
    ] = None,
    halving: Annotated[
        Literal["promote", "stop"] | None,
        typer.Option(
            "--halving",
            help="A weak trial pauses until later results promote it, or it ends.",
            show_default="promote with packs, else stop",
        ),
    ] = None,
    sampler: Annotated[
        Literal["tpe", "random"] | None,
        typer.Option("--sampler", help="What proposes configurations.", show_default=_SPACES),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            "--pack",
            metavar="N",
            help="Trials that one process trains together: auto, or a number; 1: a process for each trial.",
            show_default=_SPACES,
        ),
    ] = None,
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(
            "--cpus-per-trial", metavar="N", help="Processors of one process that trains.", show_default=_SPACES
        ),
    ] = None,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(
            "--gpus-per-trial",
            metavar="X",
            help="GPUs of one trial: whole, or 1/k for k trials on each GPU; auto: every GPU that there is, with as "
            "many trials as its memory and its speed allow.",
            show_default=_SPACES,
        ),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            "--resource",
            metavar="NAME=AMOUNT",
            help="What else of a Ray cluster a trial occupies; may be repeated: --resource A100=0.25.",
            show_default="nothing",
        ),
    ] = None,
    max_concurrent: Annotated[
        int | None,
        typer.Option("--max-concurrent", metavar="N", help="Most trials at once.", show_default="all that fit"),
    ] = None,
    report_every: Annotated[
        float | None,
        typer.Option(
            "--report-every",
            metavar="SECONDS",
            help="Time between two messages of a trial; 0: each epoch.",
            show_default=_SPACES,
        ),
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures",
            metavar="N",
            help="How often a trial goes on from its last checkpoint after its process was lost.",
            show_default=_SPACES,
        ),
    ] = None,
    pre_cache: Annotated[
        Path | None,
        typer.Option(
            "--pre-cache",
            metavar="DIR",
            help="Folder in which runs share results of pre-training.",
            show_default="one of the run's own",
        ),
    ] = None,
    wandb: Annotated[
        Literal["online", "offline"] | None,
        typer.Option("--wandb", help="Tell Weights & Biases, now or by wandb sync.", show_default="not told"),
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="K:S",
            help="Train the K best and the base configuration with S fresh seeds at the end; auto: 3:5, or less, if "
            "that is quick beside the search; none: do not.",
            show_default=_SPACES,
        ),
    ] = None,
) -> int:
    """Search hyperparameters of TRAINER and write the best configuration to DIR/NAME/best.yaml."""
    from bmtune.cli.searching import print_resolved
    from bmtune.cli.searching import run
    from bmtune.search.copy_address import storage_of
    from bmtune.search.request import SearchRequest

    folder, copy_at = storage_of(storage)
    request = SearchRequest(
        trainer=trainer,
        space=space,
        dataset=dataset,
        trials=trials,
        max_epochs=max_epochs,
        time_budget_s=None if time_budget is None else parse_duration(time_budget, "--time-budget"),
        metrics=tuple(metrics or ()),
        constraints=tuple(constraints or ()),
        seed=seed,
        name=name,
        storage=folder,
        copy_at=copy_at,
        address=address,
        allow_open_cluster=allow_open_cluster,
        overrides=split_assignments(assignments or []),
        scheduler=scheduler,
        halving=halving,
        sampler=sampler,
        pack=pack,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        resources=split_amounts(resource) if resource else None,
        max_concurrent=max_concurrent,
        report_every_s=report_every,
        max_failures=max_failures,
        pre_cache=None if pre_cache is None else str(pre_cache),
        wandb=wandb,
        confirm=confirm,
        resume=resume,
        force=force,
        from_run=from_run,
        from_top=from_top,
        enqueue=tuple(enqueue or ()),
    )
    return print_resolved(request, as_json=as_json) if dry_run else run(request, as_json=as_json)
