import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bmtune.reports.common_epoch import common_epoch
from bmtune.reports.history import RunRead
from bmtune.reports.html import to_script_json
from bmtune.reports.report_page import ImportanceRow
from bmtune.reports.report_page import ImportanceTable
from bmtune.reports.report_page import confirmation_rows
from bmtune.reports.report_page import report_page

NONE = ImportanceTable(rows=(), trials=2, top=5, fewest=10, steady=50)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Tags(HTMLParser):
    """Every element with its attributes, the text of the page, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.raw[self._open].append(data)
        else:
            self.text += data


def page_of(read: RunRead, importances: ImportanceTable = NONE) -> str:
    return report_page(read, common_epoch(read.history), importances)


@pytest.fixture
def page(recorded: Callable[..., Any], told: Callable[..., Any]) -> str:
    return page_of(recorded(told((0.5, 0.4)), told((0.3, 0.2)), told((0.6,), status="failed", reason="burst")))


def test_the_page_asks_nothing_of_any_network_and_runs_nothing_but_its_own_script(page: str):
    tags = Tags(page)
    policy = next(attrs["content"] for tag, attrs in tags.found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    _, script = tags.raw["script"]
    for text in (script, *tags.raw["style"]):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    for tag, attrs in tags.found:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], tag
        for name in ("src", "href", "action"):
            assert (attrs.get(name) or "#").startswith(("#", "data:")), tag
    outside = re.findall(r"https?://[^\s\"'<)]+", page)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|WebSocket|\beval\(|innerHTML", page)


def test_the_verdict_comes_first_with_the_exact_value(page: str):
    tags = Tags(page)
    headings = [tag for tag, _ in tags.found if tag in ("h1", "h2")]
    assert headings[0] == "h1"
    ids = [attrs["id"] for tag, attrs in tags.found if tag == "section"]
    assert ids[:2] == ["verdict", "best"]
    (value,) = [attrs["value"] for tag, attrs in tags.found if tag == "data"]
    assert value == "0.2"
    assert "Trial 1 is the best: loss 0.2" in tags.text


def test_every_link_within_the_page_leads_somewhere(page: str):
    tags = Tags(page)
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    for name in ("href", "data-copy", "aria-labelledby"):
        targets = {
            str(attrs[name]).removeprefix("#") for _, attrs in tags.found if name in attrs and attrs[name] != "data:,"
        }
        assert targets <= set(ids)


def test_what_the_scripts_look_for_is_in_the_page(page: str):
    tags = Tags(page)
    ids = {attrs["id"] for _, attrs in tags.found if "id" in attrs}
    asked = set(re.findall(r'getElementById\("([^"]+)"\)', tags.raw["script"][1]))
    assert len(asked) > 10
    assert asked <= ids


def test_names_and_values_with_markup_are_inert(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(
        told((0.5,), reason=EVIL),
        told((0.6,), params={"born.bond_dim": EVIL}, reason=EVIL),
        told((0.5,), status="failed", reason=EVIL, error=EVIL),
        dataset=EVIL,
        run=EVIL,
        bmtune=EVIL,
        replaced=[("name: plain", "name: '</script><script>alert(3)</script>'")],
    )
    page = page_of(read)
    tags = Tags(page)
    assert [tag for tag, _ in tags.found].count("script") == 2
    assert not [attrs for tag, attrs in tags.found if tag == "img"]
    assert "alert(" not in tags.raw["script"][1]
    assert EVIL in tags.text
    assert json.loads(tags.raw["script"][0])["trials"]


def test_data_for_a_script_cannot_end_it_and_comes_back_whole():
    value = {"name": "</script><!--<script>&\u2028"}
    text = to_script_json(value)
    assert "<" not in text
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="Out of range float"):
        to_script_json([float("nan")])


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], "No trial has started yet."),
        ([{"status": None}], "No trial has finished an epoch of its main phase yet"),
        ([{"status": "failed", "reason": "burst"}], "No trial could be measured: all 1 trial failed"),
        ([{"losses": (0.5,), "status": None}], "Trial 0 is the best so far: loss 0.5"),
    ],
)
def test_a_run_that_has_not_ended_says_so_first(
    recorded: Callable[..., Any], told: Callable[..., Any], trials: list[dict[str, Any]], words: str
):
    text = Tags(page_of(recorded(*[told(**trial) for trial in trials], ended=False))).text
    assert words in text
    assert text.index("This search has not ended") < text.index(words)


def test_importances_come_with_a_warning_where_trials_are_few(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5,)))
    assert "Importances need at least 10 comparable trials, and there are 2" in Tags(page_of(read)).text
    rows = (ImportanceRow("born.bond_dim", 0.75, 0.5), ImportanceRow("trainer.classification.optimizer.lr", 0.25, 0.4))
    few = Tags(page_of(read, ImportanceTable(rows, trials=20, top=5, fewest=10, steady=50))).text
    assert "These are 20 trials: below 50 the best tenth has fewer than five" in few
    assert "75.0 %" in few
    many = Tags(page_of(read, ImportanceTable(rows, trials=60, top=6, fewest=10, steady=50))).text
    assert "Trust no bar" not in many


def test_a_confirmation_in_best_yaml_is_shown_with_its_keys():
    assert confirmation_rows({"best": {}}) == []
    section = {
        "verdict": "trial 9 holds",
        "estimate": {"value": 0.125, "low": 0.1, "high": 0.15},
        "trials": [{"trial": 9, "values": [0.125, None]}, {"trial": 3, "p_corrected": 0.5}],
    }
    assert confirmation_rows({"best": {}, "confirmation": section}) == [
        ("verdict", "trial 9 holds"),
        ("estimate", "0.125 (0.1 to 0.15)"),
        ("trials", "trial 9, values [0.125, \N{EN DASH}]"),
        ("trials", "trial 3, p corrected 0.5"),
    ]


def test_commands_are_quoted_for_a_shell(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5,)), name="a night; rm -rf $HOME")
    text = Tags(page_of(read)).text
    assert f"bmtune search classification --space '{read.folder / 'search.yaml'}'" in text
    assert f"bmtune best '{read.folder}' > '{read.folder / 'best.yaml'}'" in text


def test_pictures_of_the_winner_travel_inside(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5, 0.4, 0.3)))
    folder = read.folder / "checkpoints" / "trial-00000" / "pictures"
    folder.mkdir(parents=True)
    png = b"\x89PNG\r\n\x1a\n" + b"picture"
    for number in (1, 2, 3):
        (folder / f"viz-pre-{number:05d}.png").write_bytes(png)
    (folder / "viz-pre-00004.png").write_bytes(b"<svg onload=alert(1)>")
    images = [attrs for tag, attrs in Tags(page_of(read)).found if tag == "img"]
    assert ["epoch 1 of" in str(image["alt"]) for image in images] == [True, False]
    assert "epoch 3 of" in str(images[1]["alt"])
    assert {image["src"] for image in images} == {f"data:image/png;base64,{base64.b64encode(png).decode()}"}


def test_files_of_the_page_are_small_and_use_no_framework():
    folder = Path(report_page.__code__.co_filename).parent / "page"
    scripts = sorted(folder.glob("*.js"))
    assert len(scripts) >= 5
    for path in [*scripts, *folder.glob("*.css"), *folder.glob("*.html")]:
        assert len(path.read_text().splitlines()) < 400, path.name
