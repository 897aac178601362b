"""Results of pre-training that trials share: a folder of checkpoints, named by a hash of all that determines them.

Any number of processes may use one folder. Two that pre-train alike at the same time both do so, since one that waited
would hold its processors idle for just as long; the first to finish is kept. Within a process nobody does so twice.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Protocol
from uuid import uuid4

from bmtune.born import Cores
from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.errors import BmtuneError
from bmtune.errors import CheckpointError
from bmtune.errors import FormatError
from bmtune.records import PretrainingShared
from bmtune.training import Pretrained

FORMAT = "bmtune.pretraining"
VERSION = 1


class Pretraining(Protocol):
    """A training whose `pre` phase may be shared."""

    def pre_determined_by(self) -> dict[str, Any] | None:
        """All that determines its pre-training, while that is not over; None where there is none to come."""
        ...

    def pre_result(self) -> Pretrained | None:
        """What its pre-training left, right after it."""
        ...

    def take_pre_result(self, result: Pretrained) -> dict[str, float] | None:
        """Goes on from a result, and returns what the main phase starts from.

        None, and nothing has changed, where a metric of that start is not finite.
        """
        ...

    def pre_pictures(self, result: Pretrained) -> dict[str, bytes]:
        """PNG files of a result by name, such as training it would have drawn."""
        ...


@dataclass(frozen=True)
class PreEntry:
    """A result in the cache.

    Attributes:
        result: What pre-training left.
        run: The run that trained it.
        trial: The trial of that run.
    """

    result: Pretrained
    run: str
    trial: int


def key_of(facts: Mapping[str, Any]) -> str:
    """The name of the entry that these facts determine."""
    text = json.dumps({"format": FORMAT, "version": VERSION, "facts": facts}, sort_keys=True)
    return sha256(text.encode()).hexdigest()


class PreCache:
    """The cache as one process sees it; it never fails, and says in `take_notices` what went wrong."""

    def __init__(self, folder: Path) -> None:
        """A cache in a folder, which is made when the first result is kept."""
        self._folder = folder
        self._claimed: set[str] = set()
        self._notices: list[str] = []

    def claim(self, facts: Mapping[str, Any]) -> PreEntry | Literal["train", "wait"]:
        """The result; else whether to train, which `release` ends, or to ask again later: another lane trains it."""
        key = key_of(facts)
        if key in self._claimed:
            return "wait"
        entry = self._sound_entry(key, facts)
        if entry is not None:
            return entry
        self._claimed.add(key)
        return "train"

    def release(self, facts: Mapping[str, Any]) -> None:
        """Whoever was told to train does so no more, with or without a result."""
        self._claimed.discard(key_of(facts))

    def keep(self, facts: Mapping[str, Any], entry: PreEntry) -> None:
        """Writes a result, unless a sound one is there."""
        key = key_of(facts)
        try:
            if not _is_sound(self._folder / key, facts):
                self._write(key, facts, entry)
        except OSError as error:
            self._notices.append(f"pre-training could not be kept in {self._folder}: {error}")

    def take_notices(self) -> list[str]:
        """What went wrong since the last call, in sentences."""
        notices, self._notices = self._notices, []
        return notices

    def _sound_entry(self, key: str, facts: Mapping[str, Any]) -> PreEntry | None:
        path = self._folder / key
        try:
            return _read(path, facts)
        except (BmtuneError, OSError) as error:
            self._notices.append(f"pre-training is done again, because {path} cannot be used: {error}")
            return None

    def _write(self, key: str, facts: Mapping[str, Any], entry: PreEntry) -> None:
        """Written beside and renamed: other processes may be writing the same entry."""
        fresh, path = self._folder / f".{key}.{uuid4().hex}", self._folder / key
        content = {
            "format": FORMAT,
            "version": VERSION,
            "determined_by": facts,
            "run": entry.run,
            "trial": entry.trial,
            "epochs": entry.result.epochs,
        }
        try:
            write_checkpoint(fresh, entry.result.cores._asdict(), content)
            if path.exists():
                _set_aside(path, fresh.with_name(f"{fresh.name}.damaged"))
            fresh.rename(path)
        except OSError:
            # Not a failure where another process was first.
            if not _is_sound(path, facts):
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _set_aside(path: Path, place: Path) -> None:
    """Removes what lies at `path`; renamed first, so that nobody meets it half removed."""
    path.rename(place)
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


def _is_sound(path: Path, facts: Mapping[str, Any]) -> bool:
    try:
        return _read(path, facts) is not None
    except (BmtuneError, OSError):
        return False


def _read(path: Path, facts: Mapping[str, Any]) -> PreEntry | None:
    """The entry at `path`, or None where there is none.

    Raises:
        CheckpointError: It is damaged, or was determined by something else.
        FormatError: It has another format or version.
        OSError: It cannot be read.
    """
    if not path.exists():
        return None
    tensors, content = read_checkpoint(path)
    if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise FormatError(
            f"an entry must have the format {FORMAT} version {VERSION}, but this has {content.get('format')} "
            f"version {content.get('version')}"
        )
    if content.get("determined_by") != facts:
        raise CheckpointError("an entry must be determined by what its name is a hash of, but this one is not")
    missing = {"run", "trial", "epochs"} - content.keys() | set(Cores._fields) - tensors.keys()
    if missing:
        raise CheckpointError(f"an entry must be whole, but this one lacks {', '.join(sorted(missing))}")
    cores = Cores(**{name: tensors[name] for name in Cores._fields})
    return PreEntry(Pretrained(cores, content["epochs"]), content["run"], content["trial"])


class PreShare:
    """One trial's part in it: whether it trains, waits or takes the result, and that others get what it trained."""

    def __init__(self, cache: PreCache, run: str, trial: int, training: Pretraining) -> None:
        """A trial before its first epoch in this process.

        Args:
            cache: The cache of this process.
            run: Name of the run.
            trial: Number of the trial.
            training: Its training.
        """
        self._cache = cache
        self._run = run
        self._trial = trial
        self._training = training
        self._facts = training.pre_determined_by()
        self._claims = False
        self._pictures: dict[str, bytes] = {}

    def begin(self) -> PretrainingShared | Literal["train", "wait"]:
        """What the trial does now; to be asked again as long as the answer is "wait"."""
        if self._facts is None:
            return "train"
        found = self._cache.claim(self._facts)
        if not isinstance(found, PreEntry):
            self._claims = found == "train"
            return found
        metrics = self._training.take_pre_result(found.result)
        if metrics is None:
            # It ends with the same metrics when it has trained by itself, and its records then say so.
            return "train"
        shared = PretrainingShared(
            trial=self._trial,
            key=key_of(self._facts),
            from_run=found.run,
            from_trial=found.trial,
            epochs=found.result.epochs,
            metrics=metrics,
        )
        self._facts, self._pictures = None, self._training.pre_pictures(found.result)
        return shared

    def after_epoch(self) -> None:
        """To be called after each epoch that the trial trained: keeps its result as soon as there is one."""
        if self._facts is None:
            return
        result = self._training.pre_result()
        if result is not None:
            self._cache.keep(self._facts, PreEntry(result, self._run, self._trial))
        if result is not None or self._training.pre_determined_by() is None:
            self.leave()

    def take_notices(self) -> list[str]:
        """What went wrong with the cache since the last call."""
        return self._cache.take_notices()

    def take_pictures(self) -> dict[str, bytes]:
        """PNG files of the result that was taken since the last call, by name."""
        found, self._pictures = self._pictures, {}
        return found

    def leave(self) -> None:
        """To be called when the trial is trained no more: another one may pre-train in its place."""
        if self._claims and self._facts is not None:
            self._cache.release(self._facts)
        self._facts, self._claims = None, False
