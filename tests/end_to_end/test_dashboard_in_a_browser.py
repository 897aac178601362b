"""The dashboard in a browser without a window, on a run that still goes on; needs what the other pages' tests need."""

import json
import os
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.browser import browser
from benchmarks.browser import missing
from benchmarks.synthetic_run import write_run
from bmtune.cli.app import main
from bmtune.cli.dashboarding import RunNote
from bmtune.config.best import BestFile
from bmtune.config.yaml_text import parse
from bmtune.search.dashboard import Served
from bmtune.search.dashboard import dashboard

pytestmark = pytest.mark.slow

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
"""A PNG of one red pixel."""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    reason = missing()
    if reason is not None and os.environ.get("BMTUNE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"BMTUNE_REQUIRE_BROWSER=1 asks for a browser, but {reason}")
    if reason is not None:
        pytest.skip(reason)
    with browser(1400, 1000) as driver:
        yield driver


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 trials whose search has not ended yet, with a picture of its best one."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "a <b>run", 40, 27, seed=3)
    lines = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "records.jsonl").write_bytes(b"".join(lines[:-1]))
    pictures = folder / "checkpoints" / "trial-00001" / "pictures"
    pictures.mkdir(parents=True)
    (pictures / "viz-gan-00027.png").write_bytes(PIXEL)
    return folder


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[Served]:
    with dashboard(run, lambda space: RunNote(run, space), refresh_s=0.2) as served:
        yield served


@pytest.fixture
def show(driver: Any, served: Served) -> Iterator[Callable[[str, str], str]]:
    """Shows a page of the study until a text is on it; returns all of its text."""
    from selenium.webdriver.support.ui import WebDriverWait

    def shown(page: str, awaited: str) -> str:
        driver.get(f"{served.url}{page}")
        WebDriverWait(driver, 60).until(lambda _: awaited in text_of(driver))
        return text_of(driver)

    yield shown
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def text_of(driver: Any) -> str:
    return str(driver.execute_script("return document.body.innerText"))


def best_of(run: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["best", str(run), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_page_names_the_run_and_the_value_that_best_names(
    show: Callable[[str, str], str], run: Path, capsys: pytest.CaptureFixture[str]
):
    best = best_of(run, capsys)["best"]
    text = show("", "Best Trial (number=")
    assert "a <b>run" in text
    assert f"Best Trial (number={best['trial']})" in text
    lines = text.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("Best Trial (number="))
    assert float(next(line for line in lines[place + 1 :] if line)) == best["value"]
    assert {"History", "Timeline", "Intermediate values"} <= set(lines)


def test_the_best_configuration_is_read_and_copied_there(
    show: Callable[[str, str], str], driver: Any, run: Path, capsys: pytest.CaptureFixture[str]
):
    best = best_of(run, capsys)
    assert f"Trial {best['best']['trial']} is the best so far" in show("/note", "is the best so far")
    copied = driver.execute_script("return document.querySelector('pre code, code pre, pre').textContent")
    assert BestFile.model_validate(parse(copied, "the page")).model_dump(mode="json")["best"] == best["best"]


def test_a_trial_shows_its_configuration_and_its_pictures(show: Callable[[str, str], str], driver: Any):
    from selenium.webdriver.support.ui import WebDriverWait

    text = show("/trials?numbers=1", "viz-gan-00027.png")
    assert "# trial 1 of a <b>run" in text
    assert "init_std: 7.5" in text
    assert "trial-1.yaml" in text
    WebDriverWait(driver, 30).until(
        lambda _: driver.execute_script(
            "return [...document.images].some((one) => one.src.includes('/artifacts/') && one.naturalWidth === 1)"
        )
    )
