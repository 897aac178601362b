"""Configurations that a new run tries before it proposes any: out of files, and the best ones of another run."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmtune.config.best import FORMAT as BEST_FORMAT
from bmtune.config.best import read_best
from bmtune.config.paths import COMMAND_LINE
from bmtune.config.paths import resolve
from bmtune.config.paths import with_values
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import FORMAT as SPACE_FORMAT
from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import ConfigError
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import TrialEnqueued
from bmtune.records import read_records
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.old_run import look_at
from bmtune.search.request import SearchRequest
from bmtune.search.trials import FinishedTrial
from bmtune.search.warm_start import Misfit
from bmtune.search.warm_start import compared
from bmtune.search.warm_start import searched_values

TOP = 5
"""Configurations of another run that are tried first, where nobody says how many."""


@dataclass(frozen=True)
class TriedFirst:
    """What comes between the base configuration and the first proposal.

    Attributes:
        entries: The configurations, in this order, no two alike and none the base one.
        told: Sentences about them for the user.
    """

    entries: tuple[TrialEnqueued, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """What a run writes down of them."""
        return (*self.entries, *(Notice(text=text) for text in self.told))


NOTHING = TriedFirst()


def check_options(request: SearchRequest) -> None:
    """Refuses options about what is tried first that do not go together.

    Raises:
        ConfigError: They do not.
    """
    for option, given in (("--from", request.from_run), ("--enqueue", request.enqueue)):
        if given and request.resume:
            raise ConfigError(
                f"configurations are tried first where a run begins, but {option} was given for one that goes on "
                f"({COMMAND_LINE}: {option}); leave it away, or leave --resume away to start a new run"
            )
    if request.from_top is not None and (request.from_run is None or request.from_top < 0):
        raise ConfigError(
            f"--from-top takes a number of configurations of the run in --from, 0 or more, but got {request.from_top} "
            f"{'without --from ' if request.from_run is None else ''}({COMMAND_LINE}: --from-top); mend it, or leave "
            "it away"
        )


def out_of_files(space: SearchSpace, files: Sequence[Path]) -> TriedFirst:
    """The configurations of `--enqueue`.

    Args:
        space: What is searched.
        files: Each a `best.yaml`, or values as in `base` of a search space.

    Raises:
        ConfigError: A file is unreadable; or its configuration lies outside the space, or differs from the base in what
            is not searched; or there are more than the search has trials.
    """
    known, entries, told = [space.base_params()], list[TrialEnqueued](), list[str]()
    for file in files:
        params = _params_of(space, file)
        if params in known:
            told.append(f"{file} is tried once: it is the base configuration, or the same as another file")
            continue
        known.append(params)
        entries.append(TrialEnqueued(params=params, source=str(file)))
    if 1 + len(entries) > space.budget.trials:
        raise ConfigError(
            f"a search must have a trial for each configuration that is tried first, but there are {len(entries)} "
            f"besides the base one and --trials is {space.budget.trials} ({COMMAND_LINE}: --enqueue); give more trials"
        )
    return TriedFirst(tuple(entries), tuple(told))


def _params_of(space: SearchSpace, file: Path) -> Params:
    where = f"{COMMAND_LINE}: --enqueue {file}"
    config = _config_in(space, file)
    params = searched_values(space, config)
    if isinstance(params, Misfit):
        raise ConfigError(
            f"a configuration to try must lie within the searched space, but {params.reason} ({where}); change it, or "
            "widen the range"
        )
    ours, theirs = (_flat(compared(space, one)) for one in (space.configure(params), config))
    differing = [path for path in {**ours, **theirs} if ours.get(path) != theirs.get(path)]
    if differing:
        path = differing[0]
        more = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
        raise ConfigError(
            f"a configuration to try must equal the base in what is not searched, but {path} is "
            f"{theirs.get(path, 'absent')} there and {ours.get(path, 'absent')} in the base{more} ({where}); change "
            "it, search it too, or set it for all trials with --set"
        )
    return params


def _config_in(space: SearchSpace, file: Path) -> TrialConfig:
    """The configuration that a file holds, whole or as what it changes about the base."""
    raw = read_mapping(file)
    if raw.get("format") == BEST_FORMAT:
        return read_best(file).best.config
    if raw.get("format") == SPACE_FORMAT or "parameters" in raw:
        raise ConfigError(
            f"a configuration to try must be a best.yaml or values as in base, but {file} is a search space "
            f"({COMMAND_LINE}: --enqueue); give the best.yaml of a search"
        )
    return with_values(space.base, dict(_leaves(raw, str(file))), str(file))


def _leaves(raw: Mapping[str, Any], source: str, before: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything in a nested mapping; keys may be dotted paths themselves."""
    for key, value in raw.items():
        path = f"{before}{key}"
        if isinstance(value, dict) and not _is_leaf(path):
            yield from _leaves(value, source, f"{path}.")
        else:
            resolve(path, source)
            yield path, value


def _is_leaf(path: str) -> bool:
    """Whether a path names one hyperparameter, whose value may be a mapping itself."""
    try:
        resolve(path)
    except ConfigError:
        return False
    return True


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, entry in value.items():
        path = f"{before}{key}"
        found |= _flat(entry, f"{path}.") if isinstance(entry, dict) and entry else {path: entry}
    return found


def find_source(run: str, storage: Path) -> Path:
    """The folder of the run called `run`: a path, or a name in `storage`.

    Raises:
        RunFolderError: There is none.
    """
    by_name = storage / run
    folder = by_name if by_name.is_dir() and not (Path(run) / SEARCH_FILE).is_file() else Path(run)
    if not (folder / SEARCH_FILE).is_file():
        raise RunFolderError(
            f"a run to start from must be a folder with {SEARCH_FILE}, but {folder} is not ({COMMAND_LINE}: --from); "
            f"give the folder that a search wrote, or its name in {storage}"
        )
    return folder


@dataclass(frozen=True)
class Source:
    """Another run, as far as configurations are taken from it.

    Attributes:
        name: Its name.
        space: The search that it was.
        records: All that it recorded.
        top: Most configurations to take.
    """

    name: str
    space: SearchSpace
    records: Sequence[Record]
    top: int


def source_in(folder: Path, top: int) -> Source:
    """The run in a folder, of which the best `top` configurations are taken.

    Raises:
        FormatError: Its records are damaged.
        ConfigError: Its `search.yaml` breaks a rule.
    """
    space, seen = look_at(folder)
    records = read_records(folder / RECORDS_FILE).records if seen.header is not None else ()
    return Source(folder.name, space, records, top)


def with_best_of(source: Source, space: SearchSpace, before: TriedFirst) -> TriedFirst:
    """Adds the best configurations of another run that fit a space.

    Only what is searched now is taken from them: all else is as the new run has it.

    Args:
        source: The other run.
        space: What is searched now.
        before: What is tried before them.

    Raises:
        ConfigError: None of them fits.
        RunFolderError: No trial of that run has been measured.
        FormatError: Its records contradict each other.
    """
    # Imported here: Optuna takes a second, and a mistyped option should be told at once.
    import optuna

    from bmtune.search.state import SearchState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        ranked = SearchState.replay(source.space, source.records).ranked()
    except ValueError as error:
        raise FormatError(
            f"records must follow from those before them, but those of {source.name} do not ({error}) ({COMMAND_LINE}: "
            "--from); `bmtune doctor RUN --repair` mends them"
        ) from error
    if not ranked:
        raise RunFolderError(
            f"a run to start from must have a trial that ended and was measured, but {source.name} has none "
            f"({COMMAND_LINE}: --from); wait, or leave it away"
        )
    room = min(source.top, space.budget.trials - 1 - len(before.entries))
    fitting, misfits = _first_fitting(source, ranked, space)
    if source.top and not fitting:
        raise ConfigError(
            f"a run to start from must have a configuration that fits the space, but of the {len(ranked)} measured "
            f"trials of {source.name} none does ({misfits[0]}) ({COMMAND_LINE}: --from); widen the range, or give "
            "--from-top 0 to try none of them"
        )
    known = [space.base_params(), *(entry.params for entry in before.entries)]
    new = [(number, params) for number, params in fitting if params not in known][:room]
    entries = [TrialEnqueued(params=params, source=f"{source.name}/{number}") for number, params in new]
    told = _told(source, [number for number, _ in new], misfits)
    return TriedFirst((*before.entries, *entries), (*before.told, *told))


def _first_fitting(
    source: Source, ranked: Sequence[FinishedTrial], space: SearchSpace
) -> tuple[list[tuple[int, Params]], list[str]]:
    """(number, values) of the best trials whose configurations fit and differ, and why better ones do not fit."""
    found: list[tuple[int, Params]] = []
    misfits: list[str] = []
    for trial in ranked:
        if len(found) >= source.top:
            break
        params = _fitting(space, source.space.configure(trial.run.params))
        if isinstance(params, Misfit):
            misfits.append(f"trial {trial.run.number}: {params.reason}")
        elif all(params != other for _, other in found):
            found.append((trial.run.number, params))
    return found, misfits


def _fitting(space: SearchSpace, config: TrialConfig) -> Params | Misfit:
    params = searched_values(space, config)
    if isinstance(params, Misfit):
        return params
    try:
        space.configure(params)
    except ConfigError as error:
        return Misfit(str(error))
    return params


def _told(source: Source, numbers: Sequence[int], misfits: Sequence[str]) -> Iterator[str]:
    if not source.top:
        return
    if numbers:
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))}"
        text = f"after the base configuration, those of {which} of {source.name} are tried first"
    else:
        text = f"no configuration of {source.name} is tried first: those that fit are tried anyway, or there is no room"
    if misfits:
        text += f"; {len(misfits)} better or equal ones do not fit this space ({misfits[0]})"
    yield text
