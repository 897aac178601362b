"""Reads and writes YAML safely: plain values only, duplicate keys refused, nothing that unfolds to more than it is."""

import datetime
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from bmtune.errors import ConfigError

MOST_BYTES = 256 * 1024
"""Of a file; those that bmtune writes have fewer than 10,000."""

MOST_DEPTH = 40
"""Levels of mappings and lists in each other; a configuration has fewer than 10."""

MOST_VALUES = 50_000
"""Values of a file with its aliases written out, so that a short file cannot unfold to billions of them."""


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, without its silence about duplicate keys, and with bounds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As PyYAML's, down to a depth."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"it has more than {MOST_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _unfolded(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node holds when its aliases are written out; infinitely many where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = [part for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in inner)
    return known[id(node)]


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
        ConfigError: The text is not YAML, gives a key twice, asks for a Python object, or is too large.
    """
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise ConfigError(_too_large(source))
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}) > MOST_VALUES:
            raise ConfigError(
                f"a file must hold at most {MOST_VALUES:,} values, but its aliases unfold to more ({source}); "
                "write out what is meant"
            )
        return _plain(loader.construct_document(node), source)
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
        with path.open("rb") as file:
            # One byte more than allowed is enough to know that there are too many.
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(_too_large(str(path)))
        text = content.decode("utf-8")
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


def _plain(value: Any, source: str) -> Any:
    """The value itself, where it is what JSON has too; YAML also knows dates, bytes and sets.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"a key must be text, but got {key!r} ({source}); put it in quotes")
            _plain(entry, source)
    elif isinstance(value, list):
        for entry in value:
            _plain(entry, source)
    elif isinstance(value, datetime.date):
        raise ConfigError(f"a value must be text or a number, but got a date, {value} ({source}); put it in quotes")
    elif not isinstance(value, str | int | float | bool | None):
        kind = type(value).__name__
        raise ConfigError(f"a value must be text, number, list or mapping, but got {kind} ({source}); write it plainly")
    return value


def _too_large(source: str) -> str:
    return f"a YAML file must have at most {MOST_BYTES // 1024} kB, but {source} has more; leave out what is not needed"


def dump(mapping: dict[str, Any]) -> str:
    """A mapping as YAML, in its own order."""
    return yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True, width=120)
