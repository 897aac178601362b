"""Reads and writes YAML safely: plain values only, duplicate keys refused."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from bmtune.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, without its silence about duplicate keys."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key is a mapping or a list", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
# YAML 1.1 reads 1e-4 as text because it has no dot; people mean the number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse(text: str, source: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        ConfigError: The text is not YAML, gives a key twice or asks for a Python object.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        raise ConfigError(f"a file must be plain YAML, but {problem} ({source}{line}); mend that line") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"a file must be plain YAML, but a value is unreadable ({source}): {error}") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: The file is unreadable, empty, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"a file must be readable, but {path} is not: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"a file must be UTF-8 text, but {path} is not; save it as UTF-8") from error
    value = parse(text, str(path))
    if value is None:
        raise ConfigError(f"a file must hold keys and values, but {path} is empty; write it, or leave the option away")
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ConfigError(f"a file must hold keys and values, but {path} holds a {kind}; write key: value")
    return value


def dump(mapping: dict[str, Any]) -> str:
    """A mapping as YAML, in its own order."""
    return yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True, width=120)
