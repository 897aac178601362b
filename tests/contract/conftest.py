"""Commands that stand in files and documents, taken apart and parsed by the programs that they name; none is run."""

import shlex
import tomllib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bmtune.cli.app import app
from bmtune.cli.submitting import parsed

ROOT = Path(__file__).parents[2]
PIP_OPTIONS = ("--quiet", "-e", "--no-cache-dir")


def split(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    goes_to_file = False
    for word in [*lexer, ";"]:
        if set(word) == {">"}:
            goes_to_file = True
        elif set(word) <= set(";&|()"):
            if words:
                yield words
            words = []
        elif goes_to_file:
            goes_to_file = False
        elif words or "=" not in word.partition("/")[0]:
            words.append(word)


def parse(words: Sequence[str]) -> str:
    program, *rest = words[1:] if words[0] == "sudo" else words
    name = Path(program).name
    if name == "ray":
        # Imported here: it takes a second.
        from ray.scripts.scripts import cli

        parse_by(cli, rest)
    elif name == "bmtune":
        parse_by(typer.main.get_command(app), rest)
    elif name == "pip":
        check_pip(rest)
    return name


def parse_by(group: Any, words: Sequence[str]) -> None:
    name, *rest = words
    context = group.commands[name].make_context(name, list(rest))
    if name == "submit" and "words" in context.params:
        parsed(context.params["words"])


def check_pip(words: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[0] == "install"
    for word in words[1:]:
        assert word in PIP_OPTIONS or not word.startswith("-"), word
        package, _, extra = word.rstrip("]").partition("[")
        if Path(package).name in ("", "bmtune"):
            assert not extra or extra in extras, word


@pytest.fixture
def simple_commands() -> Callable[[str], list[list[str]]]:
    """The commands of a line of shell: `A=1 x; y || z > f` has x, y and z, each with its words."""
    return lambda line: list(split(line))


@pytest.fixture
def parse_command() -> Callable[[Sequence[str]], str]:
    """Has the named program parse its words, and returns the program's name; it raises where it would not take them."""
    return parse
