"""A folder of a file system elsewhere, by way of pyarrow: a thin layer that knows nothing of runs."""

import threading
from collections.abc import Callable
from typing import Any
from typing import TypeVar

from bmtune.errors import StorageError
from bmtune.search.copy_address import below

PATIENCE_S = 30.0
"""Seconds that a place may take for its first answers."""

OBJECT_STORES = ("s3", "gcs", "abfs")
"""Kinds of file systems where a file appears when it is whole, and folders need not be made."""

Result = TypeVar("Result")


class CopyPlace:
    """A folder elsewhere; all errors are OSErrors, or `StorageError` where it is said."""

    def __init__(self, filesystem: Any, folder: str, shown: str) -> None:
        """A folder that need not be there.

        Args:
            filesystem: One of pyarrow.
            folder: Its path there.
            shown: Its address for the user.
        """
        self._files = filesystem
        self._folder = folder.rstrip("/")
        self._stores = filesystem.type_name in OBJECT_STORES
        self.shown = shown

    @staticmethod
    def open(address: str, name: str) -> "CopyPlace":
        """The folder of a run.

        Args:
            address: The place of all runs.
            name: The run.

        Raises:
            StorageError: There is no such kind of place, or no such bucket, or it does not answer.
        """
        import pyarrow
        from pyarrow.fs import FileSystem
        from pyarrow.fs import FileType

        shown = below(address, name)

        def find() -> CopyPlace:
            filesystem, path = FileSystem.from_uri(address)
            bucket = path.strip("/").split("/")[0]
            if filesystem.type_name in OBJECT_STORES and filesystem.get_file_info(bucket).type == FileType.NotFound:
                raise FileNotFoundError(f"there is no bucket called {bucket!r}")
            return CopyPlace(filesystem, f"{path.rstrip('/')}/{name}", shown)

        try:
            return answered(find, shown)
        except (OSError, pyarrow.ArrowException) as error:
            raise unreachable(shown, error) from error

    def names(self) -> tuple[str, ...]:
        """Paths of all files in the folder, relative to it; none where it is not there."""
        from pyarrow.fs import FileSelector
        from pyarrow.fs import FileType

        found = self._files.get_file_info(FileSelector(self._folder, allow_not_found=True, recursive=True))
        start = len(self._folder) + 1
        return tuple(sorted(info.path[start:] for info in found if info.type == FileType.File))

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with self._files.open_input_stream(self._at(path)) as file:
            return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        """Puts a file in the place of one that may be there; a reader finds the old one or the new one, whole."""
        place = self._at(path)
        if self._stores:
            self._write(place, content)
            return
        folder, _, name = place.rpartition("/")
        self._files.create_dir(folder, recursive=True)
        fresh = f"{folder}/.{name}.new"
        self._write(fresh, content)
        self._files.move(fresh, place)

    def duplicate(self, path: str, to: str) -> None:
        """Copies a file to another path of the folder."""
        place = self._at(to)
        if not self._stores:
            self._files.create_dir(place.rpartition("/")[0], recursive=True)
        self._files.copy_file(self._at(path), place)

    def remove(self, path: str) -> None:
        """Removes a file; nothing where it is not there."""
        try:
            self._files.delete_file(self._at(path))
        except FileNotFoundError:
            return

    def _at(self, path: str) -> str:
        return f"{self._folder}/{path}"

    def _write(self, place: str, content: bytes) -> None:
        with self._files.open_output_stream(place) as file:
            file.write(content)


def unreachable(shown: str, error: BaseException) -> StorageError:
    """What a user reads of a place that fails."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return StorageError(
        f"a place for runs must be one that can be reached and written, but {shown} is not ({reason[:300]}; command "
        "line: --storage); check the address, the network and the credentials in the environment"
    )


def answered(work: Callable[[], Result], shown: str, patience_s: float = PATIENCE_S) -> Result:
    """What `work` returns, which may hang in a library; Ctrl-C is heard meanwhile.

    Raises:
        StorageError: It takes too long.
        Exception: What `work` raised.
    """
    found: list[Result] = []
    errors: list[Exception] = []

    def try_it() -> None:
        try:
            found.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=try_it, name="copy place", daemon=True)
    thread.start()
    thread.join(patience_s)
    if errors:
        raise errors[0]
    if not found:
        raise unreachable(shown, TimeoutError(f"it did not answer in {patience_s:g} s"))
    return found[0]
