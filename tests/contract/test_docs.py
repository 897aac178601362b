"""The documentation holds what it promises: its commands exist, its reference lacks nothing, and it builds."""

import importlib.util
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import get_args

import pytest
import typer.main
from pydantic import BaseModel

from bmtune.cli.app import app
from bmtune.config.metrics import METRICS
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import Budget
from bmtune.config.space_model import RunSettings
from bmtune.reports.events import Event

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`(bmtune [^`]+)`(?!`)")
SHELL = ("", "sh", "bash", "console")
"""Languages of blocks that hold commands, if they hold any."""


def leaves() -> dict[str, Any]:
    return dict(reference().leaves(typer.main.get_command(app)))


def reference() -> ModuleType:
    if "docs_reference" not in sys.modules:
        spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "docs" / "reference.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["docs_reference"] = module
        spec.loader.exec_module(module)
    return sys.modules["docs_reference"]


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks that call bmtune, continued ones as one."""
    blocks = [body for language, body in FENCE.findall(page.read_text()) if language in SHELL]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?bmtune ", line)]


def split(line: str) -> tuple[str, list[str]]:
    """The command's words and the arguments after them, without what the shell takes for itself."""
    _, *words = shlex.split(line, comments=True)
    end = next((place for place, word in enumerate(words) if re.fullmatch(r"\d?>{1,2}|\||&&?|;", word)), len(words))
    words = words[:end]
    known = leaves()
    count = next((count for count in (2, 1) if " ".join(words[:count]) in known), 0)
    assert count, f"{line}: there is no such command"
    return " ".join(words[:count]), words[count:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_bmtune_takes(page: Path):
    for line in commands(page):
        name, arguments = split(line)
        # Reads and checks all of its words, and runs nothing.
        leaves()[name].make_context(name, arguments)


def test_pages_show_commands():
    assert sum(len(commands(page)) for page in PAGES) > 15


def test_a_command_that_is_none_would_be_found():
    with pytest.raises(AssertionError, match="there is no such command"):
        split("bmtune serach gan")
    assert split("bmtune best night --json | jq .best > best.json") == ("best", ["night", "--json"])
    name, arguments = split("bmtune search gan --trails 3  # a comment")
    assert arguments == ["gan", "--trails", "3"]
    with pytest.raises(Exception, match="No such option"):
        leaves()[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_the_text_of_a_page_names_is_one_of_its_command(page: Path):
    text = FENCE.sub("", page.read_text())
    for span in SPAN.findall(text):
        words = span.split()[1:]
        found = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in leaves()), None)
        if found is None:
            assert words[0] in ("COMMAND", "--version") or words[0].isupper(), f"{page.name}: {span}"
            continue
        options = {name for parameter in leaves()[found].params for name in parameter.opts} | {"--help"}
        assert [word for word in words if word.startswith("--") and word not in options] == [], f"{page.name}: {span}"


def test_ci_runs_the_commands_of_the_marked_blocks_and_builds_the_site():
    done = subprocess.run(
        [sys.executable, ".ci/docs_commands.py", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first = FENCE.findall((ROOT / "docs" / "quickstart.md").read_text())
    assert done.stdout.startswith(next(body for language, body in first if language == "bash"))
    marked = [body for page in PAGES for language, body in FENCE.findall(page.read_text()) if language == "bash"]
    assert sorted(done.stdout.splitlines()) == sorted("".join(marked).splitlines())
    script = (ROOT / ".ci" / "run").read_text()
    assert ".ci/docs_commands.py docs" in script
    assert "mkdocs build --strict" in script


def plain(text: str) -> str:
    """A text of a table as a reader sees it."""
    return text.replace("\\", "").replace("&lt;", "<")


def test_the_reference_has_every_command_and_every_option():
    text = reference().commands()
    for name, command in leaves().items():
        section = text.partition(f"## bmtune {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            shown = parameter.metavar if not parameter.opts[0].startswith("-") else parameter.opts[0]
            assert f"| `{shown}" in section, f"{name} {shown}"
            assert plain(parameter.help) in plain(section)


def test_the_reference_has_every_metric():
    rows = [line for line in reference().metrics().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(METRICS)
    assert all(METRICS[row.split("`")[1]].meaning in plain(row) for row in rows)


def paths(model: BaseModel, before: str = "") -> list[str]:
    """The dotted paths of all settings below a model."""
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        found += paths(value, f"{before}{name}.") if isinstance(value, BaseModel) else [before + name]
    return found


def test_the_reference_has_every_setting_with_a_sentence():
    rows = [line for line in reference().settings().splitlines() if line.startswith("| `")]
    named = [row.split("`")[1] for row in rows]
    wanted = [*paths(TrialConfig()), *paths(Budget(), "budget."), *paths(RunSettings(), "run.")]
    assert len(wanted) > 80
    assert [path for path in wanted if path not in named] == []
    # What a section chooses between is there too, not only its default.
    assert "trainer.ganstyle.critic.loss.gradient_penalty" in named
    assert [row for row in rows if row.count("|") == 5 and row.rstrip("| ").endswith("`")] == []


def test_the_reference_has_every_event_and_its_fields():
    text = reference().events()
    for model in get_args(Event):
        name = model.model_fields["event"].default
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        own = set(model.model_fields) - {"format", "version", "time", "elapsed_s", "event"}
        assert [field for field in own if f"| `{field}` |" not in section] == []


class Loads(HTMLParser):
    """What a page loads by itself, not what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.found.append(str(given["src"]))
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "edit"):
            self.found.append(str(given.get("href")))


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_a_network(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    names = {str(page.relative_to(tmp_path / "site")) for page in pages}
    assert {f"{page.stem}.html" for page in PAGES} <= names
    assert {f"reference/{name}.html" for name in ("commands", "metrics", "settings", "events")} <= names
    for page in pages:
        parser = Loads()
        parser.feed(page.read_text())
        assert parser.found
        assert [address for address in parser.found if re.match(r"(https?:)?//", address)] == []
    assert not list((tmp_path / "site").rglob("*.py"))
    order = re.findall(r'href="([\w/]+\.html)" class="md-nav__link', (tmp_path / "site" / "index.html").read_text())
    unique = list(dict.fromkeys(order))
    assert unique[:2] == ["index.html", "quickstart.html"] or unique[0] == "quickstart.html"
    assert unique.index("security.html") < unique.index("reference/commands.html")
