"""One evaluation from a checkpoint to its table and its JSON."""

from pathlib import Path
from typing import Any
from typing import NamedTuple

import typer
from pydantic import BaseModel
from pydantic import ConfigDict
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.born import start_cores
from bmtune.checkpoints import read_checkpoint
from bmtune.config.names import within
from bmtune.config.paths import validate
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.config.yaml_text import parse
from bmtune.data import DataHandler
from bmtune.errors import CheckpointError
from bmtune.errors import ConfigError
from bmtune.evaluation.after import AfterTraining
from bmtune.evaluation.after import StudyPlan
from bmtune.evaluation.after import study
from bmtune.reports.wording import number
from bmtune.training import make_problem
from bmtune.training.seeds import derive

FORMAT = "bmtune.evaluation"
VERSION = 1


class Wish(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        assignments: (path, value as text) pairs.
        seed: Seed of samples and attacks; None for what the training measured test rows with.
        rows: Most test rows for detection and purification.
        false_alarms: Share of validation rows that detection may suspect.
        strong: Whether accuracy under the strongest attacks is measured too.
    """

    assignments: tuple[tuple[str, str], ...]
    seed: int | None
    rows: int
    false_alarms: float
    strong: bool


class Evaluation(BaseModel):
    """The file that `bmtune evaluate --output` writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: str = FORMAT
    version: int = VERSION
    checkpoint: str
    epoch: int
    """The best epoch of the main phase, whose cores are evaluated."""
    config: TrialConfig
    results: AfterTraining


def evaluate_checkpoint(checkpoint: Path, wish: Wish, *, output: Path | None, as_json: bool) -> int:
    """Evaluates, prints and writes; returns the exit code.

    Raises:
        CheckpointError: There is no checkpoint of a best epoch, or it is damaged.
        FormatError: It is of a format that this release does not read.
        ConfigError: A value or the file to write is refused.
    """
    if output is not None and not output.parent.is_dir():
        raise ConfigError(
            f"--output must be a file in a folder that exists, but {output.parent} does not (command line: --output); "
            "make the folder first"
        )
    folder = _folder_of(checkpoint)
    tensors, facts = read_checkpoint(folder)
    config = _with_wishes(_config_of(facts, folder), wish)
    data = DataHandler(config.data, get_embedding(config.born.embedding).data_interval)
    problem = make_problem(config, data)
    cores = _cores_of(tensors, problem.chain, config, folder)
    seed = derive(config.seed if wish.seed is None else wish.seed, "test")
    plan = StudyPlan(seed, wish.rows, wish.false_alarms, wish.strong)
    results = study(problem.chain, cores, problem.splits, config.evaluation, plan)
    found = Evaluation(checkpoint=str(folder), epoch=facts["epoch"], config=config, results=results)
    text = found.model_dump_json(indent=2)
    if output is not None:
        _write(output, text)
    if as_json:
        typer.echo(text)
    else:
        Console().print(table(found))
    return 0


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--output must be a file that can be written, but {output} is not: {error.strerror} "
            "(command line: --output); give another"
        ) from error


def _folder_of(checkpoint: Path) -> Path:
    """The checkpoint itself, or the one of the run."""
    kept = checkpoint / "best"
    if not kept.is_dir() or (checkpoint / "checkpoint.json").exists():
        return checkpoint
    return within(checkpoint, "best")


def _config_of(facts: dict[str, Any], folder: Path) -> TrialConfig:
    if "config" not in facts or type(facts.get("epoch")) is not int:
        raise CheckpointError(
            f"an evaluation needs the checkpoint of a best epoch, with its configuration, but {folder} holds "
            f"{', '.join(sorted(facts)) or 'no facts'}; give the folder `best` beside it, or what bmtune train wrote"
        )
    return validate(facts["config"], str(folder), "config")


def _with_wishes(config: TrialConfig, wish: Wish) -> TrialConfig:
    for path, _ in wish.assignments:
        if not path.startswith("evaluation."):
            raise ConfigError(
                f"an evaluation can change only values below evaluation., but got {path!r} (command line: --set "
                f"{path}); train again to change others"
            )
    return with_values(config, {path: parse(text, f"--set {path}") for path, text in wish.assignments})


def _cores_of(tensors: dict[str, Tensor], chain: Chain, config: TrialConfig, folder: Path) -> Cores:
    """The cores, of the shapes that configuration and data ask for."""
    expected = {name: tuple(core.shape) for name, core in start_cores(chain, config.born, 0)._asdict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        wrong = next(name for name in {**expected, **shapes} if shapes.get(name) != expected.get(name))
        raise CheckpointError(
            f"cores must have the shapes that configuration and data ask for, but {wrong!r} is {shapes.get(wrong)} "
            f"instead of {expected.get(wrong)} in {folder}; the data set may have changed since: train again"
        )
    return Cores(**{name: tensor.to(chain.dtype) for name, tensor in tensors.items()})


def table(found: Evaluation) -> Table:
    """Everything in one table: a column for clean rows and one for each strength."""
    results, strengths = found.results, tuple(dict.fromkeys(found.config.evaluation.strengths))
    attack = found.config.evaluation.attack
    titles = [f"eps {strength:g}" for strength in strengths]
    model = f"{found.config.data.dataset}, {found.config.recipe}, epoch {found.epoch}"
    title = f"{model}; {attack.name} in {attack.norm}, {attack.steps} steps"
    made = Table("on test rows", "clean", *titles, title=title, title_justify="left")
    for column in made.columns[1:]:
        column.justify = "right"
    for name in ("loss", "genloss", "fid", "outliers"):
        made.add_row(name, number(results.metrics[name]))
    made.add_section()
    _robustness(made, results, strengths)
    made.add_section()
    _detection(made, results)
    made.add_section()
    _purification(made, results)
    made.add_section()
    for entry in results.membership:
        made.add_row(f"members by {entry.score}: accuracy", number(entry.accuracy))
        made.add_row(f"members by {entry.score}: AUROC", number(entry.auroc))
    return made


def _robustness(made: Table, results: AfterTraining, strengths: tuple[float, ...]) -> None:
    for family, title in (("rob", "accuracy"), ("rob_strong", "accuracy, strongest attacks")):
        values = [results.metrics.get(f"{family}/{strength:g}") for strength in strengths]
        shown = [number(value) for value in values if value is not None]
        if shown:
            made.add_row(title, number(results.metrics["acc"]), *shown)


def _detection(made: Table, results: AfterTraining) -> None:
    found = results.detection
    # The threshold is the same for all strengths, and so is what it costs clean rows.
    made.add_row("suspected by log p(x)", number(found[0].false_positive_rate), *_each(found, "true_positive_rate"))
    made.add_row("detection AUROC", "", *_each(found, "auroc"))


def _purification(made: Table, results: AfterTraining) -> None:
    methods: dict[str, list[Any]] = {}
    for entry in results.purification:
        methods.setdefault(entry.method, []).append(entry)
    made.add_row("accuracy before purification", *_each(next(iter(methods.values())), "accuracy_before"))
    for method, entries in methods.items():
        made.add_row(f"accuracy after {method.replace('_', ' ')}", *_each(entries, "accuracy_after"))


def _each(entries: Any, name: str) -> list[str]:
    return [number(getattr(entry, name)) for entry in entries]
