"""Dotted paths into a trial's configuration, such as `trainer.ganstyle.critic.loss.gradient_penalty`."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic import ValidationError

from bmtune.config.mistakes import clean
from bmtune.config.mistakes import did_you_mean
from bmtune.config.root import TrialConfig
from bmtune.config.shape import members
from bmtune.config.shape import tags
from bmtune.errors import ConfigError

COMMAND_LINE = "command line"
"""The source of values that came from no file."""


@dataclass(frozen=True)
class Place:
    """Where a path leads.

    Attributes:
        path: The dotted path.
        required: What must hold for the path to exist: for each union on the way, the path of its `name` and the names
            of the members that have the next key. Empty for a path that always exists.
        is_tag: Whether the path is itself the `name` that chooses between the members of a union.
    """

    path: str
    required: tuple[tuple[str, tuple[str, ...]], ...]
    is_tag: bool


def resolve(path: str, source: str = COMMAND_LINE, key: str = "") -> Place:
    """The place of a hyperparameter.

    Args:
        path: Dotted path from the root of `TrialConfig`.
        source: File or option that named it, for the message.
        key: Dotted key in `source` that named it, where it is not the path itself.

    Raises:
        ConfigError: No such path, or it names a section instead of one value.
    """
    where = f"({source}: {key or path})"
    owners: tuple[type[BaseModel], ...] = (TrialConfig,)
    required: list[tuple[str, tuple[str, ...]]] = []
    is_tag = False
    parts = path.split(".")
    for depth, part in enumerate(parts):
        having = tuple(owner for owner in owners if part in owner.model_fields)
        if not having:
            raise ConfigError(_unknown(path, parts[:depth], part, owners, where))
        is_tag = len(owners) > 1 and part == "name"
        if len(having) < len(owners):
            required.append((".".join([*parts[:depth], "name"]), tuple(tag for owner in having for tag in tags(owner))))
        owners = tuple(model for owner in having for model in members(owner.model_fields[part].annotation))
    if owners:
        raise ConfigError(
            f"a path must name one hyperparameter, but {path!r} names a section {where}; "
            f"add one of {', '.join(_fields(owners))}"
        )
    return Place(path, tuple(required), is_tag)


def _fields(owners: tuple[type[BaseModel], ...]) -> list[str]:
    return sorted({name for owner in owners for name in owner.model_fields})


def _unknown(path: str, before: list[str], part: str, owners: tuple[type[BaseModel], ...], where: str) -> str:
    if not owners:
        return (
            f"a path must name a hyperparameter, but {path!r} goes on behind the value "
            f"{'.'.join(before)!r} {where}; leave {part!r} away"
        )
    elsewhere = [known for known in all_paths() if known.split(".")[-1] == part]
    hint = did_you_mean(".".join([*before, part]), [".".join([*before, name]) for name in _fields(owners)])
    if not hint.startswith("did you mean") and elsewhere:
        hint = f"did you mean {elsewhere[0]!r}?"
    return f"a path must name a hyperparameter, but {path!r} has no {part!r} {where}; {hint}"


def all_paths() -> tuple[str, ...]:
    """Every path that `resolve` accepts."""
    return tuple(_walk(TrialConfig, ""))


def _walk(model: type[BaseModel], prefix: str) -> list[str]:
    found: list[str] = []
    for name, field in model.model_fields.items():
        below = members(field.annotation)
        paths = [path for member in below for path in _walk(member, f"{prefix}{name}.")] or [f"{prefix}{name}"]
        found.extend(path for path in paths if path not in found)
    return found


def get(config: TrialConfig, path: str) -> Any:
    """The value at `path`; KeyError where the chosen member of a union has no such key."""
    value: Any = config
    for part in path.split("."):
        if part not in type(value).model_fields:
            raise KeyError(path)
        value = getattr(value, part)
    return value


def with_values(config: TrialConfig, values: Mapping[str, Any], source: str = COMMAND_LINE) -> TrialConfig:
    """`config` with some values replaced, validated as a whole.

    Where a value chooses another member of a union, the fields of the old member are dropped.

    Raises:
        ConfigError: A path is unknown, or the configuration refuses a value.
    """
    places = [resolve(path, source) for path in values]
    raw = config.model_dump(mode="json")
    # Names of unions first, outer before inner: they decide which other keys may exist.
    for place in sorted(places, key=lambda place: (not place.is_tag, place.path.count("."))):
        _check_exists(raw, place, source)
        _put(raw, place, copy.deepcopy(values[place.path]))
    return validate(raw, source)


def _check_exists(raw: dict[str, Any], place: Place, source: str) -> None:
    for tag, names in place.required:
        chosen: Any = raw
        for part in tag.split("."):
            chosen = chosen[part]
        if chosen not in names:
            raise ConfigError(
                f"{place.path} exists only where {tag} is {' or '.join(names)}, but got {chosen} "
                f"({source}: {place.path}); set {tag} as well"
            )


def _put(raw: dict[str, Any], place: Place, value: Any) -> None:
    *parents, leaf = place.path.split(".")
    section = raw
    for part in parents:
        section = section[part]
    if place.is_tag and section.get(leaf) != value:
        section.clear()
    section[leaf] = value


def validate(raw: Any, source: str, prefix: str = "") -> TrialConfig:
    """A nested mapping as a TrialConfig.

    Args:
        raw: What a file or a dump held.
        source: Its name for messages.
        prefix: Dotted key of `raw` in `source`.

    Raises:
        ConfigError: One sentence about the first mistake.
    """
    try:
        return TrialConfig.model_validate(raw)
    except ValidationError as error:
        raise clean(error, TrialConfig, source, prefix) from error
