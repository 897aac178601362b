"""The reference pages, written from the code while the site is built, so that they cannot fall behind it.

mkdocs loads this file as a hook; it also puts the pages in their order.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any
from typing import get_args

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.nav import Section
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bmtune.cli.app import app
from bmtune.config.base import Lane
from bmtune.config.metrics import METRICS
from bmtune.config.metrics import STRENGTH_FAMILIES
from bmtune.config.root import TrialConfig
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.space_model import Budget
from bmtune.config.space_model import RunSettings
from bmtune.reports.events import Event

ORDER = (
    *("index", "quickstart", "spaces", "objectives", "warm_start", "packs", "confirmation", "report", "dashboard"),
    *("cluster", "scaling"),
)
LAST = ("reliability", "security")
"""Pages that come first, and last before the reference; any others stand between them."""

Row = tuple[str, ...]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the reference; mkdocs calls this."""
    pages = {"commands": commands(), "metrics": metrics(), "settings": settings(), "events": events()}
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Puts the pages in their order; mkdocs calls this."""
    nav.items.sort(key=_place)
    nav.pages.sort(key=lambda page: (page.file.src_uri.startswith("reference/"), *_place(page)))
    for before, after in zip(nav.pages, nav.pages[1:], strict=False):
        before.next_page, after.previous_page = after, before
    if nav.pages:
        nav.pages[0].previous_page = nav.pages[-1].next_page = None
    return nav


def _place(item: Any) -> tuple[int, int, str]:
    if isinstance(item, Section) or not isinstance(item, Page):
        return 3, 0, str(item.title)
    name = item.file.src_uri.removesuffix(".md")
    if name in ORDER:
        return 0, ORDER.index(name), name
    return (2, LAST.index(name), name) if name in LAST else (1, 0, name)


def commands() -> str:
    """Every command with every argument and option."""
    parts = ["# Commands\n\nWritten from the code. `bmtune COMMAND --help` says the same."]
    for words, command in leaves(typer.main.get_command(app)):
        parts.append(f"## bmtune {words}\n\n{_prose(command.help or '')}")
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append(_table(("option", "meaning", "default"), rows))
    return "\n\n".join(parts) + "\n"


def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """(words, command) of every command, those of groups within groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _parameter(parameter: Any) -> Row:
    if not parameter.opts[0].startswith("-"):
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        # Choices are told in place of a word for the value.
        choices = [str(one) for one in get_args(parameter.type_descriptor.annotation) if isinstance(one, str)]
        value = "" if parameter.is_flag else f" {parameter.metavar or '|'.join(choices)}".rstrip()
        name = f"`{'`, `'.join(parameter.opts)}{value}`"
    return name, parameter.help or "", _default(parameter)


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "needed"
    if getattr(parameter, "is_flag", False):
        return "off"
    return "" if parameter.default in (None, (), []) else f"`{parameter.default}`"


def metrics() -> str:
    """Every metric with its direction and unit."""
    rows = [
        (f"`{one.name}`", one.meaning, "higher" if one.direction == "max" else "lower", one.unit)
        for one in METRICS.values()
    ]
    families = " and ".join(f"`{name}/0.1`" for name in STRENGTH_FAMILIES)
    return (
        "# Metrics\n\nWritten from the code. Any of them can be the objective (`--metric`, or `objective.metric` in a "
        "search space), be measured besides (`metrics: {name: every}` of a trainer) and decide when a phase ends "
        f"(`stop_crit`). {families} mean one strength, as a fraction of the length of the data's interval.\n\n"
        + _table(("name", "what it is", "better", "unit"), rows)
        + "\n\nAll of them are measured on validation rows; on test rows, once, for the winner. `train/...` are the "
        "losses of the training rows, `start/...` what the main phase of a trial began with.\n"
    )


def settings() -> str:
    """Every setting of a trial and of a search."""
    head = ("setting", "type", "default", "meaning")
    parts = [
        "# Settings\n\nWritten from the code. A setting is named by its dotted path: below `base` and `parameters` in "
        "a [search space](../spaces.md), and with `--set path=value`. Those marked with * may differ between "
        "the trials of a [pack](../packs.md); all others part them.",
        "## budget\n\n" + _table(head, list(_rows(Budget(), "budget."))),
        "## run\n\n" + _table(head, list(_rows(RunSettings(), "run."))),
    ]
    trial = TrialConfig()
    own = [name for name in TrialConfig.model_fields if not isinstance(getattr(trial, name), BaseModel)]
    parts.append("## A trial\n\n" + _table(head, list(_rows(trial, "", set(own)))))
    for name in TrialConfig.model_fields:
        if name not in own:
            parts.append(f"## {name}\n\n" + _table(head, list(_rows(trial, "", {name}))))
    for name in ("classification", "gan", "generative", "adversarial"):
        space = load_space(default_space_path(name))
        rows = [(f"`{path}`", _range(dimension)) for path, dimension in space.parameters]
        parts.append(
            f"## Searched by default: {name}\n\nObjective `{space.objective.name}`, {space.budget.trials} trials of "
            f"{space.budget.max_epochs} epochs.\n\n" + _table(("setting", "range"), rows)
        )
    return "\n\n".join(parts) + "\n"


def _range(dimension: Any) -> str:
    scale = ", logarithmic" if getattr(dimension, "log", False) else ""
    return f"{dimension.describe()}{scale}"


def _rows(model: BaseModel, before: str, only: set[str] | None = None) -> Iterator[Row]:
    """A row for each setting below a model, with the model's own values as defaults."""
    documented = field_texts(type(model))
    for name, field in type(model).model_fields.items():
        if only is not None and name not in only:
            continue
        value, path = getattr(model, name), f"{before}{name}"
        if isinstance(value, BaseModel):
            members = _members(field)
            if len(members) > 1:
                names = ", ".join(f"`{member().name}`" for member in members)  # type: ignore[attr-defined]
                yield f"`{path}.name`", f"one of {names}", f"`{value.name}`", documented.get(name, "")  # type: ignore[attr-defined]
            for member in members or [type(value)]:
                inner = value if isinstance(value, member) else member()
                left_out = {"name"} if len(members) > 1 else set()
                yield from _rows(inner, f"{path}.", set(member.model_fields) - left_out)
            continue
        lane = any(isinstance(mark, Lane) for mark in field.metadata)
        yield f"`{path}`{' *' if lane else ''}", _type(field), f"`{_short(value)}`", documented.get(name, "")


def _members(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that a field chooses between by their names."""
    found = [one for one in get_args(field.annotation) if inspect.isclass(one) and issubclass(one, BaseModel)]
    return [one for one in found if "name" in one.model_fields]


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(mark, name)}"
        for mark in field.metadata
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if hasattr(mark, name)
    ]
    return " ".join([_words(field.annotation), ", ".join(bounds)]).strip()


_PLAIN = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "NoneType": "null"}


def _words(annotation: Any) -> str:
    """A type in words: `Literal["a", "b"] | None` is "a, b or null"."""
    if getattr(annotation, "__metadata__", None):
        return _words(annotation.__origin__)
    parts = get_args(annotation)
    if not parts or annotation is Ellipsis:
        return _PLAIN.get(getattr(annotation, "__name__", ""), str(getattr(annotation, "__name__", annotation)))
    origin = str(getattr(annotation, "__origin__", annotation))
    if "Literal" in origin:
        return ", ".join(f"`{part}`" for part in parts)
    if "tuple" in origin:
        return "list" if parts[-1] is Ellipsis else f"{len(parts)} of: {_words(parts[0])}"
    return " or ".join(_words(part) for part in parts)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return str(dict(value)) if value and isinstance(value[0], tuple) else str(list(value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def events() -> str:
    """Every event of `bmtune search --json`."""
    common = field_texts(get_args(Event)[0])
    parts = [
        "# Events\n\nWritten from the code. `bmtune search --json` writes one JSON object a line, and nothing else, to "
        "standard output; see [what people and programs look at](../dashboard.md). Every event has these fields:",
        _table(
            ("field", "type", "meaning"),
            [
                ("`format`", "`bmtune.events`", "What the line is."),
                ("`version`", "`1`", "Raised where anything but new kinds of events and new fields changes."),
                ("`event`", "text", "Which event, as below."),
                *((f"`{name}`", "number", common[name]) for name in ("time", "elapsed_s")),
            ],
        ),
    ]
    known = {"format", "version", "time", "elapsed_s", "event"}
    for model in get_args(Event):
        parts.append(f"## {model.model_fields['event'].default}\n\n{_prose(inspect.getdoc(model) or '')}")
        texts = field_texts(model)
        rows = [
            (f"`{name}`", _words(field.annotation), texts.get(name, ""))
            for name, field in model.model_fields.items()
            if name not in known
        ]
        if rows:
            parts.append(_table(("field", "type", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


@cache
def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The sentence below each field of a model, as its source has it."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _prose(text: str) -> str:
    """A docstring without its `Args` and `Attributes`."""
    return inspect.cleandoc(text).partition("\n\nAttributes:")[0]


def _table(head: Row, rows: list[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays one cell and shows as it is; what stands in backticks does so anyway."""
    parts = text.split("`")
    return "`".join(
        part if place % 2 else part.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
        for place, part in enumerate(parts)
    )
