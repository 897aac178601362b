"""A browser without a window that shows pages from files and has no network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver.chromium.webdriver import ChromiumDriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--proxy-server=127.0.0.1:9",
)


def missing() -> str | None:
    """Why there is no browser here; None where there is one."""
    try:
        import selenium  # noqa: F401 - asked for, not used
    except ImportError:
        return "selenium is not installed (pip install bmtune[test])"
    if not any(map(shutil.which, BROWSERS)):
        return f"none of {', '.join(BROWSERS)} is installed (Debian: apt-get install chromium chromium-driver)"
    return None if shutil.which(DRIVER) else f"{DRIVER} is not installed (Debian: apt-get install chromium-driver)"


@contextmanager
def browser(width: int = 1200, height: int = 900) -> Iterator["ChromiumDriver"]:
    """Chromium with an empty profile, which is removed at the end.

    Args:
        width: Of the window, in pixels.
        height: Of the window, in pixels.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with TemporaryDirectory(prefix="bmtune-browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = next(path for path in map(shutil.which, BROWSERS) if path)
        for option in (*OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def load(driver: "ChromiumDriver", page: Path) -> float:
    """Shows a page; returns the seconds until its figures are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(page.resolve().as_uri())
    WebDriverWait(driver, 30).until(
        lambda shown: shown.execute_script("return document.documentElement.dataset.ready") == "yes"
    )
    # The load event comes after the script, which draws all figures; the frame after it shows them.
    milliseconds = driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))"
    )
    loaded = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < loaded <= milliseconds
    return float(loaded) / 1e3
