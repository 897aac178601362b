"""Files of trials on machines that do not see the run folder: they travel with commands and reports instead.

The host works in a folder of its own, as if it were the run folder; whatever it tells of comes with the report and is
in the run folder before the report is heard. So nothing else knows of it, and records and checkpoints are the same.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from bmtune.checkpoints import put_checkpoint
from bmtune.checkpoints import raw_checkpoint
from bmtune.config.names import within
from bmtune.disk_space import Patience
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import checkpoint_path

Files = tuple[tuple[str, tuple[bytes, ...]], ...]
"""(path relative to the run folder, content) of checkpoints, each with the two files it has, and of single files."""

PICTURES = "pictures"


def saved_files(task: Task) -> Files:
    """What a trial goes on from, as it lies in the run folder."""
    paths = [checkpoint_path(task.trial, "last"), checkpoint_path(task.trial, "best")]
    found = ((path, raw_checkpoint(Path(task.run_folder, path))) for path in paths)
    return tuple((path, raw) for path, raw in found if raw is not None)


def put_files(run_folder: Path, files: Files) -> None:
    """Puts what has come with a report into the run folder; where it raises, it may be called again.

    Raises:
        RunFolderError: A path leads out of it.
        OSError: The disk refuses.
    """
    for path, content in files:
        place = within(run_folder, path)
        if len(content) == 1:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content[0])
        else:
            put_checkpoint(place, content, keep_previous=path.endswith("/last"))


class SharedFolder:
    """The run folder as the driver has it, which other machines may see or not."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        """A folder that may not be there yet.

        Args:
            folder: The run folder.
            patience: How a full disk is waited for.
        """
        self._folder = folder.resolve()
        self._patience = patience
        self._mark: Path | None = None

    def mark(self) -> Path:
        """An empty file in it, which is there from the first call to `close`: who sees it sees the folder."""
        if self._mark is None:
            self._mark = self._folder / f".seen-{uuid4().hex}"
            self._mark.touch()
        return self._mark

    def put(self, folder: Path, files: Files) -> None:
        """Puts what a host has sent into a run folder, as soon as there is room."""
        self._patience.wait_for_room(lambda: put_files(folder, files), "checkpoints of trials", folder)

    def close(self) -> None:
        """Removes the mark."""
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)


class Apart:
    """A folder in the place of run folders that this machine does not see."""

    def __init__(self) -> None:
        """A new folder, empty."""
        self.folder = Path(tempfile.mkdtemp(prefix="bmtune-apart-"))

    def take(self, task: Task, files: Files) -> Task:
        """The same task in this folder, with the files that came with it."""
        # A confirmation trains the same trial with several seeds, in folders of their own.
        folder = self.folder / task.run_folder.strip("/").replace("/", "-")
        shutil.rmtree((folder / task.checkpoint_path("last")).parent, ignore_errors=True)
        put_files(folder, files)
        inside = task.pre_cache is not None and Path(task.pre_cache).is_relative_to(task.run_folder)
        cache = str(folder / Path(task.pre_cache or "").relative_to(task.run_folder)) if inside else task.pre_cache
        return task.model_copy(update={"run_folder": str(folder), "pre_cache": cache})

    def files_of(self, task: Task, report: TrialReport) -> Files:
        """All that a report speaks of, and pictures that were not given before."""
        return (*self._checkpoints(Path(task.run_folder), report), *self._pictures(task))

    def _checkpoints(self, folder: Path, report: TrialReport) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        for told in report.checkpoints:
            raw = raw_checkpoint(folder / told.path)
            if raw is not None:
                yield told.path, raw

    def _pictures(self, task: Task) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        place = Path(task.run_folder, task.checkpoint_path("last")).parent / PICTURES
        for path in sorted(place.glob("*.png")):
            yield str(path.relative_to(task.run_folder)), (path.read_bytes(),)
            path.unlink()
