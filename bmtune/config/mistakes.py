"""One sentence for a user out of what pydantic found: the rule, the value, the place and the way out."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bmtune.config.shape import members
from bmtune.config.shape import tags
from bmtune.errors import ConfigError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` did you mean 'X'?` where a known name is close, else the known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(names)}" if names else "there are none"


def clean(error: ValidationError, model: type[BaseModel], source: str, prefix: str = "") -> ConfigError:
    """The first mistake in `error` as a ConfigError.

    Args:
        error: What pydantic raised.
        model: The model that was validated.
        source: File, or option, that the values came from.
        prefix: Dotted key of the validated part inside `source`.
    """
    found = error.errors()
    # The first entry is the one to mend first; a misspelt key is the likeliest cause of what else is wrong.
    detail = next((entry for entry in found if entry["type"] == "extra_forbidden"), found[0])
    place = ".".join(part for part in (prefix, dotted(detail, model)) if part)
    where = f"({source}: {place})" if place else f"({source})"
    return ConfigError(_sentence(detail, model, where))


def _sentence(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    kind, value, message = detail["type"], detail["input"], detail["msg"]
    if kind == "extra_forbidden":
        key = str(detail["loc"][-1])
        return f"a key must be one that exists, but got {key!r} {where}; {did_you_mean(key, _siblings(detail, model))}"
    if kind == "missing":
        return f"{detail['loc'][-1]!r} must be given, but it is missing {where}; add it"
    if kind == "value_error":
        return f"{message.removeprefix('Value error, ')} {where}"
    if kind in ("union_tag_invalid", "literal_error", "enum"):
        expected = str(detail.get("ctx", {}).get("expected_tags") or detail.get("ctx", {}).get("expected"))
        names = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
        given = value.get("name") if isinstance(value, dict) and kind == "union_tag_invalid" else value
        hint = did_you_mean(str(given), names) if len(names) > 6 else "choose one of these"
        return f"the value must be one of {', '.join(names)}, but got {given!r} {where}; {hint}"
    rule = message[0].lower() + message[1:]
    rule = rule.replace("input should be", "the value must be")
    return f"{rule}, but got {_short(value)} {where}; give a value that keeps this rule"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """The dotted key of a mistake, as a user writes it (pydantic puts union tags between the keys)."""
    return ".".join(str(part) for part in _keys(detail["loc"], model)[0])


def _siblings(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    """The keys that are known where a misspelt one was found."""
    owners = _keys(detail["loc"][:-1], model)[1]
    return sorted({name for owner in owners for name in owner.model_fields})


def _keys(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[int | str], tuple[type[BaseModel], ...]]:
    """The user's keys of a location, and the models that may stand at its end."""
    keys: list[int | str] = []
    owners: tuple[type[BaseModel], ...] = (model,)
    for part in loc:
        tagged = tuple(owner for owner in owners if len(owners) > 1 and part in tags(owner))
        if tagged:
            owners = tagged
            continue
        keys.append(part)
        owners = tuple(
            member
            for owner in owners
            if part in owner.model_fields
            for member in members(owner.model_fields[str(part)].annotation)
        )
    return keys, owners
