"""Reading a records file while another process appends to it."""

from pathlib import Path

from bmtune.records import Record
from bmtune.records import from_line


class RecordTail:
    """Reads each record once, as soon as its line is whole.

    Args:
        path: The records file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Record]:
        """The records since the last call.

        Raises:
            ValueError: A whole line is damaged.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        records = [from_line(line) for line in whole.splitlines()]
        self._offset += len(whole)
        return records
