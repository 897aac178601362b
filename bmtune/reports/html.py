"""Pages of HTML from templates: every value escaped, every script and style inside, and nothing else allowed to run."""

import base64
import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2 import FileSystemLoader
from jinja2 import StrictUndefined
from markupsafe import Markup

from bmtune import __version__
from bmtune.reports.wording import duration
from bmtune.reports.wording import number
from bmtune.reports.wording import plural

FOLDER = Path(__file__).parent / "page"
STYLE = "page.css"


def render(template: str, scripts: Sequence[str], context: dict[str, Any]) -> str:
    """A page.

    Args:
        template: File in the folder of pages.
        scripts: Files there that become the page's one script, in this order.
        context: What the template shows; `data` is handed to the script as JSON.

    Returns:
        One HTML document. Its policy lets exactly its own style and script run, and lets it fetch nothing.
    """
    style = (FOLDER / STYLE).read_text(encoding="utf-8")
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in scripts)
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            {
                **context,
                "policy": policy,
                "style": Markup(style),
                "script": Markup(script),
                "json": Markup(to_script_json(context["data"])),
                "version": __version__,
            }
        )
    )


def to_script_json(data: Any) -> str:
    """JSON that may stand between the tags of a script: no character in it can end them or begin a comment.

    Raises:
        ValueError: A number is not finite; JSON has no word for it.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source(text: str) -> str:
    """What a Content-Security-Policy calls a text: its hash, so that no other text may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "duration": duration, "plural": plural, "words": in_words, "share": share}
    return found


def share(part: float) -> str:
    """`12.3 %`."""
    return f"{part:.1%}".replace("%", " %")


def in_words(value: Any) -> str:
    """A value for a table cell: numbers with four digits, a dash for none, an estimate with its interval."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        if set(value) == {"value", "low", "high"}:
            return "{} ({} to {})".format(*(in_words(value[key]) for key in ("value", "low", "high")))
        return ", ".join(f"{key.replace('_', ' ')} {in_words(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(in_words(entry) for entry in value) + "]"
    return str(value)
