"""`--set path=value` and `--resource NAME=AMOUNT`, taken apart."""

import math
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


def split_amounts(assignments: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """(name, amount) of each resource, in order.

    Raises:
        ConfigError: One has no `=`, no name or no amount above 0, or a name comes twice or has an option of its own.
    """
    amounts: dict[str, float] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        try:
            amount = float(text)
        except ValueError:
            amount = math.nan
        if not name or not 0 < amount < math.inf:
            raise ConfigError(
                f"--resource takes NAME=AMOUNT with an amount above 0, but got {assignment!r} (command line: "
                "--resource); write, for example, --resource A100=0.25"
            )
        if name in amounts or name in ("CPU", "GPU"):
            why = "comes twice" if name in amounts else f"has an option of its own, --{name.lower()}s-per-trial"
            raise ConfigError(
                f"--resource takes each other resource once, but {name!r} {why} (command line: --resource); leave it "
                "away"
            )
        amounts[name] = amount
    return tuple(amounts.items())
