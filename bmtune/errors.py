"""Errors that a user can meet: one root, one leaf per cause.

Every message is one sentence that states the rule, the value found, the place and the way out.
Commands print it and exit with `exit_code`; nothing has been written by then.
"""

from bmtune.redaction import one_line
from bmtune.redaction import redacted


class BmtuneError(Exception):
    """The root of every error that bmtune raises for something a user can mend."""

    exit_code = 2

    def __str__(self) -> str:
        """The message on one line, whatever it quotes: no secret, and nothing that a terminal would obey."""
        return one_line(redacted(super().__str__()))


class ConfigError(BmtuneError):
    """A configuration, a search space or a command-line value breaks a rule."""


class DataError(BmtuneError):
    """A data set is unknown, unreadable or unfit to train on."""


class FormatError(BmtuneError):
    """A file was written in a format, or a version of one, that this reader does not know."""


class CheckpointError(BmtuneError):
    """A checkpoint is missing or damaged."""


class ResourceError(BmtuneError):
    """More processors, GPUs or memory are asked for than there are."""


class RunFolderError(BmtuneError):
    """A run folder is missing, incomplete or already in use."""


class StorageError(BmtuneError):
    """A place elsewhere, where a run is to be copied to or from, cannot be reached or does not hold what it should."""


class DashboardError(BmtuneError):
    """A dashboard cannot be shown: its package is missing, or its port is taken."""


class SearchStoppedError(BmtuneError):
    """A search stopped itself because going on could not help."""

    exit_code = 1


class StoppedBySignalError(KeyboardInterrupt):
    """Ctrl-C, or a signal like it, ended what was going on; like Ctrl-C it is no `Exception` and no mistake.

    Attributes:
        signal: Number of the signal.
        advice: How to go on, where there is something to go on from.
    """

    def __init__(self, signal: int, advice: str | None = None) -> None:
        super().__init__(signal)
        self.signal = signal
        self.advice = advice
