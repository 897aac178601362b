"""From a request to a search in which everything was checked, before anything is written."""

import time
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from typing import Literal

from pydantic import JsonValue

from bmtune.config.datasets import check_dataset
from bmtune.config.datasets import short_name
from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.names import check_local
from bmtune.config.names import check_name
from bmtune.config.paths import COMMAND_LINE
from bmtune.config.paths import get
from bmtune.config.pretraining import pretrains_alike
from bmtune.config.root import RECIPES
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_model import Budget
from bmtune.config.space_model import RunSettings
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import main_settings
from bmtune.config.space_rules import checked
from bmtune.config.space_rules import pinned
from bmtune.config.yaml_text import parse
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.errors import ResourceError
from bmtune.errors import RunFolderError
from bmtune.records import Change
from bmtune.search.goal import asked_goal
from bmtune.search.goal import check_confirmation
from bmtune.search.goal import validated
from bmtune.search.lock import check_unlocked
from bmtune.search.old_run import MAY_CHANGE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.old_run import OldRun
from bmtune.search.old_run import as_it_ran
from bmtune.search.old_run import differences
from bmtune.search.old_run import find_run
from bmtune.search.old_run import look_at
from bmtune.search.old_run import next_folder
from bmtune.search.old_run import told
from bmtune.search.old_run import with_run_settings
from bmtune.search.request import SearchRequest
from bmtune.search.tried_first import NOTHING
from bmtune.search.tried_first import TOP
from bmtune.search.tried_first import TriedFirst
from bmtune.search.tried_first import check_options
from bmtune.search.tried_first import find_source
from bmtune.search.tried_first import out_of_files
from bmtune.search.tried_first import source_in
from bmtune.search.tried_first import with_best_of

PRE_FOLDER = "pretraining"
"""Where a run keeps results of pre-training, in its folder."""


@dataclass(frozen=True)
class ResolvedSearch:
    """A search that can be run as it is.

    Attributes:
        space: The search space with every option of the request in it.
        run_folder: Where the run is to be; it does not hold one yet.
        address: Ray cluster to join, or None.
        data_hash: Hash of the data set's content; empty until `check_data`.
        allow_open_cluster: Whether that cluster may be one that asks nobody for a token.
        copy_at: Address below which a copy of the run is kept, or None.
        old: The run that this one goes on with, or learns from; None: it has nothing to do with any.
        from_top: How many of its best configurations are tried first.
        first: What is tried between the base configuration and the first proposal; that of `old` after `check_data`.
    """

    space: SearchSpace
    run_folder: Path
    address: str | None
    data_hash: str = ""
    allow_open_cluster: bool = False
    copy_at: str | None = None
    old: OldRun | None = None
    from_top: int = 0
    first: TriedFirst = NOTHING

    @property
    def resumes(self) -> bool:
        """Whether the run is there and goes on."""
        return self.old is not None and self.old.goes_on

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.space.base.data.dataset

    @cached_property
    def pre_cache(self) -> Path | None:
        """Folder in which results of pre-training are looked for and kept; None: every trial pre-trains for itself."""
        run = self.space.run
        if run.pre_cache is not None:
            return Path(run.pre_cache)
        return self.run_folder / PRE_FOLDER if run.share_pre and pretrains_alike(self.space) else None

    def to_mapping(self) -> dict[str, JsonValue]:
        """The content of `search.yaml`: all that is needed to run the search again with `--space`."""
        return self.space.to_mapping()


def resolve(request: SearchRequest) -> ResolvedSearch:
    """Checks a request wholly: options, space, run folder and data. Writes nothing.

    Raises:
        ConfigError: An option or the space breaks a rule.
        DataError: The data set is unfit.
        ResourceError: The resources of a trial are no possible ones.
        RunFolderError: The run folder holds another run.
    """
    return check_data(resolve_options(request))


def resolve_options(request: SearchRequest) -> ResolvedSearch:
    """Everything that `resolve` checks without looking at the data: it imports no torch and takes milliseconds."""
    _check_words(request)
    if request.resume:
        return _resumed(request)
    space = _space(load_space(request.space or default_space_path(request.trainer or "")), request)
    folder = request.storage / (request.name or _default_name(space))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        there = (folder / SEARCH_FILE).exists()
        raise RunFolderError(
            f"a run needs a folder of its own, but {folder} holds something already; give another --name or --storage"
            f"{', or --resume to go on with the run there' if there else ''}"
        )
    search = _search(request, space, folder)
    return _with_first(search, request)


def _search(request: SearchRequest, space: SearchSpace, folder: Path) -> ResolvedSearch:
    """The search of a request, without what another run gives."""
    return ResolvedSearch(
        space, folder, request.address, allow_open_cluster=request.allow_open_cluster, copy_at=request.copy_at
    )


def _with_first(search: ResolvedSearch, request: SearchRequest) -> ResolvedSearch:
    """The search with what is tried first, as far as that is known without the records of another run."""
    search = replace(search, first=out_of_files(search.space, request.enqueue))
    if request.from_run is None:
        return search
    folder = find_source(request.from_run, request.storage)
    header = look_at(folder)[1].header
    old = OldRun(folder, header.data_hash if header is not None else None, goes_on=False)
    return replace(search, old=old, from_top=TOP if request.from_top is None else request.from_top)


def _check_words(request: SearchRequest) -> None:
    """What can be wrong with a request whatever the space is."""
    if request.trainer is None and not request.resume:
        raise ConfigError(
            f"a search needs a trainer, but got none ({COMMAND_LINE}: TRAINER); give one of {', '.join(RECIPES)}, "
            "or --resume to go on with a run"
        )
    if request.force and not request.resume:
        raise ConfigError(
            f"--force says what becomes of a run that cannot be resumed, but there is no --resume ({COMMAND_LINE}: "
            "--force); leave it away"
        )
    check_options(request)
    if request.name is not None:
        check_name(request.name, f"{COMMAND_LINE}: --name")
    check_local(str(request.storage), f"{COMMAND_LINE}: --storage")


def _space(space: SearchSpace, request: SearchRequest) -> SearchSpace:
    """A space with every option of the request in it."""
    _check_trainer(request, space)
    space = _with_overrides(_with_run(_with_budget(space, request), request), request)
    gpus = _whole_or_part(space.run.gpus_per_trial)
    space = replace(space, run=space.run.model_copy(update={"gpus_per_trial": gpus}))
    check_confirmation(space)
    space = _with_pre_seed(space, request)
    _check_pre_cache(space)
    return space


def _resumed(request: SearchRequest) -> ResolvedSearch:
    """The run that is there, with what may change as it was asked for; with `force` a new one, where it cannot go on.

    Raises:
        ConfigError: Something was asked for that must not change.
        RunFolderError: There is no such run, or another process writes it.
    """
    folder = find_run(request)
    check_unlocked(folder)
    before, seen = look_at(folder)
    space = _space(before if request.space is None else load_space(request.space), request)
    if request.space is not None:
        space = as_it_ran(with_run_settings(space, before, request), seen.header)
    changes = differences(before, space)
    refused = tuple(change for change in changes if change.key not in MAY_CHANGE)
    old = OldRun(
        folder,
        seen.header.data_hash if seen.header is not None else None,
        force=request.force,
        changes=changes,
        num_started=seen.num_started,
    )
    search = _search(request, space, folder)
    if refused:
        return _learning(replace(search, old=old), refused)
    if space.budget.trials < seen.num_started:
        raise ConfigError(
            f"a run that goes on must have at least the trials that it started, but {folder} has started "
            f"{seen.num_started} and --trials is {space.budget.trials} ({COMMAND_LINE}: --trials); give more"
        )
    asked = request.trials is not None or request.time_budget_s is not None
    more = asked and space.budget.trials > seen.num_started
    ended = seen.end.reason if seen.end is not None and not more else None
    return replace(search, old=replace(old, ended=ended))


def _learning(search: ResolvedSearch, refused: tuple[Change, ...]) -> ResolvedSearch:
    """A new run that learns from the old one, which cannot go on with these changes.

    Raises:
        ConfigError: It was not asked for.
    """
    old = search.old
    assert old is not None, "a run that learns has one to learn from"
    if not old.force:
        raise ConfigError(
            f"a run goes on with the search that it began with, but {old.folder} would change ({told(refused)}); "
            "leave those options away, or add --force to start a new run that learns from its finished trials"
        )
    return replace(search, run_folder=next_folder(old.folder), old=replace(old, goes_on=False, changes=()))


def check_data(search: ResolvedSearch) -> ResolvedSearch:
    """Loads the data set and checks that every searched configuration can train on it.

    Raises:
        DataError: The data are unfit, or fewer than a batch takes.
    """
    # Imported here: torch and scikit-learn take seconds, and a mistyped option should be told at once.
    from bmtune.search.solo import load_data

    space = search.space
    data = load_data(space.base)
    rows = len(data.splits["train"].y)
    searched = dict(space.parameters)
    for path in space.base.batch_size_paths:
        largest = get(space.base, path)
        if path in searched:
            dimension = searched[path]
            ends = dimension.choices if isinstance(dimension, CategoricalDimension) else (dimension.high,)
            largest = max([largest, *ends])
        if largest > rows:
            key = f"parameters.{path}" if path in searched else f"base.{path}"
            raise DataError(
                f"a batch must not be larger than the training split, but {search.dataset} has {rows} training rows "
                f"and a batch may take {largest} ({space.source}: {key}); lower it to at most {rows}"
            )
    search = _with_best_of_old(replace(search, data_hash=data.content_hash))
    before = search.old.data_hash if search.old is not None and search.resumes else None
    if before is None or before == data.content_hash:
        return search
    return _learning(search, (Change(key="data hash", before=before, after=data.content_hash),))


def _with_best_of_old(search: ResolvedSearch) -> ResolvedSearch:
    old = search.old
    if old is None or old.goes_on or not search.from_top:
        return search
    first = with_best_of(source_in(old.folder, search.from_top), search.space, search.first)
    return replace(search, first=first, from_top=0)


def _check_trainer(request: SearchRequest, space: SearchSpace) -> None:
    if request.trainer is None:
        return
    if request.trainer not in RECIPES:
        default_space_path(request.trainer)
    if space.trainer != request.trainer and request.resume and request.space is None:
        raise ConfigError(
            f"a run goes on with its trainer, but {space.source} is of {space.trainer!r} and the trainer is "
            f"{request.trainer!r} ({COMMAND_LINE}: TRAINER); leave it away, or give the --name of another run"
        )
    if space.trainer != request.trainer:
        raise ConfigError(
            f"the space must be one for the trainer, but {space.source} is for {space.trainer!r} and the trainer is "
            f"{request.trainer!r} ({COMMAND_LINE}: TRAINER); give the other name, or another --space"
        )


def _with_budget(space: SearchSpace, request: SearchRequest) -> SearchSpace:
    goal = asked_goal(space, request)
    given = {"trials": request.trials, "max_epochs": request.max_epochs}
    raw = space.budget.model_dump() | {name: value for name, value in given.items() if value is not None}
    if request.max_epochs is not None:
        # A first rung behind the end of the budget only means that no trial is stopped.
        raw["grace"] = max(1, min(raw["grace"], request.max_epochs))
    budget = validated(Budget, raw)
    base = main_settings(space.base, space.trainer, goal, budget.max_epochs)
    return replace(space, goal=goal, budget=budget, base=base)


def _with_run(space: SearchSpace, request: SearchRequest) -> SearchSpace:
    raw = space.run.model_dump()
    given = {name: getattr(request, name, None) for name in raw}
    run = validated(RunSettings, raw | {name: value for name, value in given.items() if value is not None})
    if request.halving is not None and run.scheduler == "none":
        raise ConfigError(
            f"halving must be on to {request.halving} trials, but the scheduler is 'none' ({COMMAND_LINE}: --halving); "
            "leave it away, or give --scheduler asha"
        )
    return replace(space, run=run)


def _with_overrides(space: SearchSpace, request: SearchRequest) -> SearchSpace:
    values: dict[str, Any] = {}
    if request.dataset is not None:
        try:
            values["data.dataset"] = check_dataset(request.dataset)
        except ValueError as error:
            raise ConfigError(f"{error} ({COMMAND_LINE}: --dataset)") from error
    for path, text in request.overrides:
        values[path] = parse(text, f"{COMMAND_LINE}: --set {path}")
    return pinned(space, values, COMMAND_LINE) if values else checked(space)


def _with_pre_seed(space: SearchSpace, request: SearchRequest) -> SearchSpace:
    """The space with one seed for the pre-training of all trials, where some of them pre-train alike.

    A seed that was fixed by the space stays, unless the command line has another one.
    """
    fixed = {path for path, _ in (*space.parameters, *request.overrides)}
    wanted = space.base.pre_seed is None or request.seed is not None
    if "pre_seed" in fixed or not (wanted and space.run.share_pre and pretrains_alike(space)):
        return space
    return replace(space, base=space.base.model_copy(update={"pre_seed": space.run.seed}))


def _check_pre_cache(space: SearchSpace) -> None:
    folder = space.run.pre_cache
    if folder is not None:
        check_local(folder, f"{COMMAND_LINE}: --pre-cache")
    if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise ConfigError(
            f"results of pre-training must be kept in a folder, but {folder} is a file ({COMMAND_LINE}: --pre-cache); "
            "give another, or leave it away"
        )


def _whole_or_part(gpus: float | Literal["auto"]) -> float | Literal["auto"]:
    """GPUs of one trial as Ray can place them: whole, or 1/k rounded down.

    Ray adds fractions up across GPUs, so that trials with any other fraction can wait for ever.

    Raises:
        ResourceError: The number is neither.
    """
    if gpus == "auto" or gpus == int(gpus):
        return gpus
    parts = max(2, round(1 / gpus)) if gpus < 1 else 0
    if parts and abs(gpus * parts - 1) <= 5e-3:
        return int(10_000 / parts) / 10_000
    nearest = f"1/{parts} ({1 / parts:.4g})" if parts else f"{round(gpus)}"
    raise ResourceError(
        f"GPUs per trial must be a whole number or 1/k, but got {gpus:g} ({COMMAND_LINE}: --gpus-per-trial); "
        f"the nearest is {nearest}"
    )


def _default_name(space: SearchSpace) -> str:
    return f"{space.trainer}-{short_name(space.base.data.dataset)}-{time.strftime('%Y%m%d-%H%M%S')}"
