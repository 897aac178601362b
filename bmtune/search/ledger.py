"""The one place where records come from: file, state, view and listener, in this order."""

from collections.abc import Sequence

from bmtune.records import Listener
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.search.state import SearchState


class Ledger:
    """Writes a record, applies it to the state, and tells whoever listens."""

    def __init__(self, state: SearchState, writer: RecordWriter, listeners: Sequence[Listener]) -> None:
        """A ledger whose state holds what the file holds."""
        self.state = state
        self._writer = writer
        self._listeners = tuple(listeners)

    def record(self, record: Record) -> None:
        """Takes a record in; the file has it before anything acts on it."""
        self._writer.write(record)
        self.state.apply(record)
        for listener in self._listeners:
            listener.on_record(record)

    def tell(self, text: str) -> None:
        """Tells whoever listens what is only of this moment; no record is made of it."""
        for listener in self._listeners:
            listener.on_record(Notice(text=text))

    def sync(self) -> None:
        """Returns when all records are on the disk."""
        self._writer.sync()
