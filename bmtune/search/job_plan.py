"""What a job on a cluster takes along and what it runs there: decided here, before anybody is asked."""

import shlex
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from pathlib import PurePosixPath

from bmtune.config.data import DataConfig
from bmtune.config.data_folders import IMAGE_FOLDERS
from bmtune.config.data_folders import ROOT_VARIABLE
from bmtune.config.data_folders import at_home
from bmtune.config.data_folders import data_root
from bmtune.config.data_folders import find_series
from bmtune.config.data_folders import image_folder
from bmtune.config.datasets import is_user_file
from bmtune.config.datasets import ucr_name
from bmtune.config.names import check_name
from bmtune.config.paths import COMMAND_LINE
from bmtune.config.space import default_space_path
from bmtune.errors import ConfigError
from bmtune.errors import DataError
from bmtune.errors import ResourceError
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve_options

MOST_MIB = 500
"""Of the files of one job; Ray takes packages of less than 512 MiB."""

MIB = 2**20

OUTSIDE = "files"
"""Folder, in the job's, of files that do not lie below the working folder here."""

DATA_FOLDER = "bmtune-data"
"""Folder, in the job's, of data sets that are found by name."""

DEFAULT_STORAGE = "outputs"
"""Folder of all runs, below the home folder of the machine where the job runs."""


@dataclass(frozen=True)
class Shipped:
    """A file that the job takes along.

    Attributes:
        source: Where it lies here.
        name: Where it lies in the working folder of the job.
    """

    source: Path
    name: str


@dataclass(frozen=True)
class JobPlan:
    """A search that is to run as a job.

    Attributes:
        run: Its name.
        storage: Folder of all runs on the machine where it runs.
        command: What runs there, for a shell.
        files: What it takes along.
        environment: Variables of all its processes.
    """

    run: str
    storage: str
    command: str
    files: tuple[Shipped, ...]
    environment: Mapping[str, str]


def plan_job(
    request: SearchRequest, given: Mapping[str, object], options: Mapping[str, str], here: Path, scratch: Path
) -> JobPlan:
    """Checks a search as far as that can be done here, and says what a job needs to run it.

    The space goes along also where it is the one that comes with bmtune, so the search is the one that was checked.

    Args:
        request: The search.
        given: Arguments and options as they were given, by their names in the program.
        options: The option of each name, as `--trials`; "" for an argument.
        here: The working folder.
        scratch: An empty folder.

    Raises:
        BmtuneError: The request breaks a rule, or names a file that is not there or is too large.
    """
    values = {name: value for name, value in given.items() if name not in ("storage", "address", "dry_run")}
    files: list[Shipped] = []
    wanted = _resumed(request) if request.resume else _begun(request, scratch)
    if wanted.space is not None:
        # A checkout keeps its default spaces outside of the package.
        space = wanted.space
        name = shipped_as(space, here) if request.space is not None else f"{OUTSIDE}/{space.name}"
        files.append(Shipped((here / space).resolve(), name))
        values["space"] = name
    # Each in a folder of its own: most are called best.yaml.
    tried_first = [
        Shipped((here / path).resolve(), f"{OUTSIDE}/{index}/{path.name}") for index, path in enumerate(request.enqueue)
    ]
    if tried_first:
        files.extend(tried_first)
        values["enqueue"] = [file.name for file in tried_first]
    own = user_file(wanted.dataset, here) if wanted.dataset is not None else None
    if own is not None:
        files.append(own)
        values |= _with_dataset(values, own.name)
    elif wanted.data is not None:
        files.extend(named_files(wanted.data))
    check_size(files)
    storage = cluster_storage((request.copy_at or str(request.storage)) if "storage" in given else None)
    values |= {"name": wanted.run, "address": "auto"}
    return JobPlan(wanted.run, storage, command_line(values, options, storage), tuple(files), environment_of(files))


@dataclass(frozen=True)
class _Wanted:
    """A run by its name, and what of it may lie here; None: that is the cluster's, or not known."""

    run: str
    space: Path | None
    dataset: str | None
    data: DataConfig | None


def _begun(request: SearchRequest, scratch: Path) -> _Wanted:
    # The run of --from is one of the cluster.
    resolved = resolve_options(replace(request, storage=scratch / "runs", copy_at=None, from_run=None, from_top=None))
    _check_outlives(resolved.space.run.pre_cache)
    space, data = request.space or default_space_path(request.trainer or ""), resolved.space.base.data
    return _Wanted(resolved.run_folder.name, space, data.dataset, data)


def _resumed(request: SearchRequest) -> _Wanted:
    dataset = dict(request.overrides).get("data.dataset", request.dataset)
    named = dataset is not None and (dataset in IMAGE_FOLDERS or ucr_name(dataset) is not None)
    return _Wanted(
        _resumed_name(request),
        request.space,
        dataset,
        DataConfig.model_validate({"dataset": dataset}) if named else None,
    )


def _resumed_name(request: SearchRequest) -> str:
    if request.name is None:
        raise ConfigError(
            f"a job that resumes must name its run, which is on the cluster ({COMMAND_LINE}: --resume); add --name"
        )
    return check_name(request.name, f"{COMMAND_LINE}: --name")


def _check_outlives(pre_cache: str | None) -> None:
    """Refuses a folder of results that would be removed with the job's working folder."""
    if pre_cache is not None and not PurePosixPath(pre_cache).is_absolute():
        raise ConfigError(
            f"a folder that outlives its job must be an absolute path of the cluster, but got {pre_cache} "
            f"({COMMAND_LINE}: --pre-cache); give one, or leave it away"
        )


def _with_dataset(values: Mapping[str, object], name: str) -> dict[str, object]:
    """What was given of the data set, with the name that it has in the job."""
    assignments = values.get("assignments")
    kept = (
        [text for text in assignments if not text.startswith("data.dataset=")] if isinstance(assignments, list) else []
    )
    return {"dataset": name, **({"assignments": kept} if kept or assignments else {})}


def shipped_as(path: Path, here: Path) -> str:
    """The path in the working folder of the job of what lies at `path` here: the same one, if that lies below `here`.

    Args:
        path: A file, relative to `here` or absolute.
        here: The working folder of this process.
    """
    place = (here / path).resolve()
    if place.is_relative_to(here.resolve()):
        return place.relative_to(here.resolve()).as_posix()
    return f"{OUTSIDE}/{path.name}"


def user_file(dataset: str, here: Path) -> Shipped | None:
    """The file that a data set names; None where it names none, or one that lies on the cluster.

    Raises:
        DataError: A relative path leads to no file.
    """
    if not is_user_file(dataset):
        return None
    path = at_home(Path(dataset))
    if (here / path).is_file():
        return Shipped((here / path).resolve(), shipped_as(path, here))
    if path.is_absolute():
        return None
    raise DataError(
        f"a job takes its data file along, but {dataset} is not there; give the path of a file here, or the absolute "
        "path of one that every machine of the cluster reads"
    )


def named_files(data: DataConfig) -> tuple[Shipped, ...]:
    """The files of a data set that has a name, as far as they are here; where they are not, the cluster must have them.

    Args:
        data: The data set; one that says where its files lie means a folder of the cluster.
    """
    if data.root is not None:
        return ()
    root = data_root()
    series = ucr_name(data.dataset)
    if series is not None:
        files = find_series(series, root)
        return () if files is None else tuple(Shipped(file, f"{DATA_FOLDER}/ucr/{file.name}") for file in files)
    if data.dataset not in IMAGE_FOLDERS:
        return ()
    folder = image_folder(data.dataset, root)
    place = f"{DATA_FOLDER}/{IMAGE_FOLDERS[data.dataset][0]}"
    found = sorted(folder.glob("*-ubyte*")) if folder.is_dir() else ()
    return tuple(Shipped(file, f"{place}/{file.name}") for file in found if file.is_file())


def check_size(files: Sequence[Shipped]) -> None:
    """Refuses files that Ray would not take.

    Raises:
        ResourceError: They are too large together.
    """
    sizes = {file.source: file.source.stat().st_size for file in files}
    total = sum(sizes.values())
    if total <= MOST_MIB * MIB:
        return
    largest = max(sizes, key=lambda path: sizes[path])
    raise ResourceError(
        f"a job takes at most {MOST_MIB} MiB along, but its files have {total / MIB:,.0f} MiB, of which "
        f"{sizes[largest] / MIB:,.0f} MiB are {largest.name} in {largest.parent}; put it on storage that every machine "
        "of the cluster reads and give its absolute path there"
    )


def cluster_storage(storage: str | None) -> str:
    """The folder of all runs as a job must know it: its own working folder is removed when it has ended.

    Args:
        storage: As it was given; None: it was not.

    Returns:
        An absolute path or an address as it is; any other path below `~`.
    """
    if storage is not None and (PurePosixPath(storage).is_absolute() or ":/" in storage):
        return storage
    below = (storage or DEFAULT_STORAGE).removeprefix("~/")
    return f"~/{PurePosixPath(below)}"


def command_line(values: Mapping[str, object], options: Mapping[str, str], storage: str) -> str:
    """The search for a shell of the cluster.

    Args:
        values: Of arguments and options, by their names in the program.
        options: The option of each, as `--trials`; "" for an argument.
        storage: The folder of all runs; its `~` is that of the machine where the job runs.
    """
    words = ["python", "-m", "bmtune", "search"]
    for name, value in values.items():
        words.extend(_words(options[name], value))
    home, tilde, below = storage.partition("~/")
    place = f"~/{shlex.quote(below)}" if tilde and not home else shlex.quote(storage)
    return f"{shlex.join(words)} --storage {place}"


def _words(option: str, value: object) -> Iterator[str]:
    """An option with its value; one that is repeated has a list of them, and one that is only there has True."""
    if isinstance(value, bool):
        if value:
            yield option
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _words(option, entry)
    elif option:
        # One word, so that a value may begin with a dash.
        yield f"{option}={value}"
    else:
        yield str(value)


def environment_of(files: Sequence[Shipped]) -> dict[str, str]:
    """Variables of the job's processes, given what it takes along.

    Ray kills a job three seconds after it asked it to end; a search writes its checkpoints and its winner in ten.
    """
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": "20"}
    if any(PurePosixPath(file.name).parts[0] == DATA_FOLDER for file in files):
        variables[ROOT_VARIABLE] = DATA_FOLDER
    return variables
