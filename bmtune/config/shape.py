"""The shape of a configuration model: which models may stand under a key."""

from types import UnionType
from typing import Annotated
from typing import Any
from typing import Union
from typing import get_args
from typing import get_origin

from pydantic import BaseModel


def members(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models that a field may hold: one, several for a union, none for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(model for part in get_args(annotation) for model in members(part))
    return ()


def tags(model: type[BaseModel]) -> tuple[str, ...]:
    """The names by which a union tells this member from the others."""
    field = model.model_fields.get("name")
    default = field.default if field else None
    return (default,) if isinstance(default, str) else ()
