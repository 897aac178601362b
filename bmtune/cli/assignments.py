"""`--set path=value`, taken apart."""

from collections.abc import Iterable

from bmtune.errors import ConfigError


def split_assignments(assignments: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(path, value as text) of each assignment, in order.

    Raises:
        ConfigError: An assignment has no `=` or no path, or a path comes twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError(
                f"--set takes path=value, but got {assignment!r} (command line: --set); "
                "write, for example, --set born.bond_dim=8"
            )
        if path in values:
            raise ConfigError(f"--set takes each path once, but {path!r} comes twice (command line: --set); keep one")
        values[path] = text
    return tuple(values.items())
