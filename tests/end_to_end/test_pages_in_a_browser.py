"""The pages in a browser without a window: what they show, what they do, and that they complain of nothing.

Needs Chromium with its driver, and selenium. Where one is missing these tests are skipped; with
BMTUNE_REQUIRE_BROWSER=1, as in CI, they fail instead.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.browser import browser
from benchmarks.browser import load
from benchmarks.browser import missing
from benchmarks.synthetic_run import write_run
from bmtune.cli.app import main

pytestmark = pytest.mark.slow

WIDE, NARROW = (1200, 900), (360, 740)
RIGHT, ESCAPE = "\ue014", "\ue00c"
"""Keys, as WebDriver calls them."""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    reason = missing()
    if reason is not None and os.environ.get("BMTUNE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"BMTUNE_REQUIRE_BROWSER=1 asks for a browser, but {reason}")
    if reason is not None:
        pytest.skip(reason)
    with browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 trials with halving and failures, and its report."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "a <b>run", 40, 27, seed=3)
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture
def page(driver: Any, run: Path) -> Iterator[Any]:
    shape(driver, WIDE, "light")
    load(driver, run / "report.html")
    yield driver
    assert complaints(driver) == []


def shape(driver: Any, size: tuple[int, int], scheme: str) -> None:
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
    )
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def complaints(driver: Any) -> list[str]:
    """What the browser wrote to its console: errors, warnings, and breaches of the page's policy."""
    return [entry["message"] for entry in driver.get_log("browser")]


def count(driver: Any, selector: str) -> int:
    return int(driver.execute_script("return document.querySelectorAll(arguments[0]).length", selector))


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def test_the_page_says_what_the_command_says(page: Any, run: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["best", str(run), "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    shown = page.execute_script("return document.getElementById('best-value').value")
    assert float(shown) == best["value"]
    lead = page.execute_script("return document.querySelector('.lead').textContent")
    assert f"Trial {best['trial']} is the best" in lead
    assert page.execute_script("return document.querySelector('h1').textContent") == "a <b>run"


def test_every_figure_is_drawn(page: Any):
    assert page.execute_script("return data.trials.length") == 40
    assert count(page, "#curve-plot path.trace") > 30
    assert count(page, "#curve-plot line.rung") == 3
    measured = page.execute_script("return data.trials.filter((trial) => trial.value !== null).length")
    assert count(page, "#parallel-plot path.trace") == measured + 1
    assert count(page, "#slice-plot svg") == page.execute_script("return data.parameters.length")
    assert count(page, "#course-plot rect.bar-trial") == 40
    assert count(page, "#importances .bar-svg") == 8
    drawn = page.execute_script("return [...document.querySelectorAll('svg *')].map((one) => one.outerHTML).join('')")
    assert "NaN" not in drawn
    assert "Infinity" not in drawn


def test_the_button_copies_the_configuration(page: Any):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    button = page.find_element(By.CSS_SELECTOR, '[data-copy="yaml"]')
    button.click()
    WebDriverWait(page, 10).until(lambda _: button.text == "Copied")
    # What was copied comes back by pasting, which needs no permission.
    page.execute_script(
        "const area = document.createElement('textarea'); area.id = 'paste'; document.body.append(area); area.focus();"
    )
    ActionChains(page).key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()
    pasted = page.execute_script("return document.getElementById('paste').value")
    assert pasted == page.execute_script("return document.getElementById('yaml').textContent")
    assert pasted.startswith("format: bmtune.best\n")


def test_arrow_keys_go_through_the_trials_and_tell_them(page: Any):
    page.execute_script("document.getElementById('curve-plot').focus()")
    press(page, RIGHT)
    told = "return document.getElementById('curve-plot').getAttribute('aria-valuetext')"
    best = page.execute_script("return data.trials[winner].number")
    assert page.execute_script(told).startswith(f"Trial {best}, rank 1 of ")
    press(page, RIGHT)
    assert ", rank 2 of " in page.execute_script(told)
    assert page.execute_script("return document.querySelector('#curve-plot path.picked').getAttribute('d')")
    assert page.execute_script("return document.querySelector('#parallel-plot path.picked').getAttribute('d')")
    assert "rank 2 of" in page.execute_script("return document.getElementById('readout').textContent")
    press(page, ESCAPE)
    assert page.execute_script("return document.getElementById('readout').hidden")


def test_pointing_at_a_line_tells_its_trial(page: Any):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    plot = page.find_element(By.ID, "curve-plot")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    x, y = page.execute_script(
        "const box = arguments[0].getBoundingClientRect(); const [x, y] = Curves.drawn[winner].at(-1);"
        "return [Math.round(x - box.width / 2), Math.round(y - box.height / 2)]",
        plot,
    )
    ActionChains(page).move_to_element_with_offset(plot, x, y).perform()
    best = page.execute_script("return data.trials[winner].number")
    assert f"Trial {best}, rank 1" in page.execute_script("return document.getElementById('readout-text').textContent")


def test_dragging_along_an_axis_keeps_the_trials_within_a_range(page: Any):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    axis = page.find_elements(By.CSS_SELECTOR, "#parallel-plot rect.catch")[1]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", axis)
    ActionChains(page).move_to_element(axis).click_and_hold().move_by_offset(0, 80).release().perform()
    inside = page.execute_script(
        "const [low, high] = Parallel.ranges.get(data.parameters[1].name);"
        "return data.trials.filter((t) => t.value !== null && t.values[1] >= low && t.values[1] <= high).length"
    )
    assert 0 < inside < 40
    assert count(page, "#parallel-plot path.trace:not(.off):not(.picked)") == inside
    clear = page.find_element(By.ID, "clear-ranges")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", clear)
    clear.click()
    assert count(page, "#parallel-plot path.off") == 0


def test_the_table_sorts_by_a_column(page: Any):
    page.execute_script("document.querySelector('#trials details').open = true")
    page.execute_script("document.querySelectorAll('#trial-table thead button')[1].click()")
    numbers = page.execute_script(
        "return [...document.querySelectorAll('#trial-table tbody tr')].map((r) => r.cells[1].textContent)"
    )
    assert [int(number) for number in numbers] == list(range(40))
    assert page.execute_script("return document.querySelectorAll('#trial-table th')[1].ariaSort") == "ascending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_page_fits_light_and_dark_wide_and_narrow(driver: Any, run: Path, scheme: str, size: tuple[int, int]):
    shape(driver, size, scheme)
    load(driver, run / "report.html")
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    channels = driver.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (sum(channels) > 600) == (scheme == "light")
    assert complaints(driver) == []


def test_every_control_can_be_reached_by_the_tab_key(page: Any):
    """In the order of the page, each with a name that a screen reader can say."""
    script = """
    const seen = [...document.querySelectorAll('a[href], button:enabled, select, input, [tabindex="0"], summary')]
      .filter((one) => one.checkVisibility());
    return seen.filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length
      || one.getAttribute('aria-labelledby'))).map((one) => one.outerHTML.slice(0, 80));
    """
    assert page.execute_script(script) == []
    assert count(page, "[tabindex]:not([tabindex='0']):not([tabindex='-1'])") == 0


def test_the_page_prints(page: Any):
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(printed) > 20_000


@pytest.mark.parametrize("trials", [0, 1, 3])
def test_pages_of_hardly_begun_runs_draw_what_there_is(driver: Any, tmp_path: Path, trials: int):
    folder = write_run(tmp_path / "young", 3, 9)
    records = (folder / "records.jsonl").read_bytes().splitlines(keepends=True)
    kept = {0: 1, 1: 2, 3: 12}[trials]
    (folder / "records.jsonl").write_bytes(b"".join(records[:kept]))
    assert main(["report", str(folder)]) == 0
    shape(driver, WIDE, "light")
    load(driver, folder / "report.html")
    assert driver.execute_script("return document.querySelector('.going') !== null")
    assert complaints(driver) == []


def test_a_comparison_is_drawn(driver: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    other = write_run(tmp_path / "other", 30, 27, seed=4)
    assert main(["compare", str(run), str(other), "--html", str(tmp_path / "page.html")]) == 0
    shape(driver, WIDE, "dark")
    load(driver, tmp_path / "page.html")
    assert count(driver, "#epochs-plot path.run") == count(driver, "#seconds-plot path.run") == 2
    assert complaints(driver) == []
