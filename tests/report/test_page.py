"""The page of a comparison in a real browser; skipped where there is no chromium with its driver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import Outcome, make_comparison
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the driver's connection, closed when it is collected
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"),
        "--window-size=1300,2000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def legend(browser: webdriver.Chrome) -> dict[str, WebElement]:
    return {e.text: e for e in browser.find_elements(By.CSS_SELECTOR, "#charts svg .role-legend-label text") if e.text}


def lines(browser: webdriver.Chrome) -> int:
    """Return how many lines can be seen in all charts."""
    found = browser.find_elements(By.CSS_SELECTOR, "#charts svg .mark-line path")
    return sum(line.get_attribute("opacity") != "0" for line in found)


def test_page_draws_switches_and_sorts_without_fetching(
    optimcifar: Callable[..., Outcome], browser: webdriver.Chrome, tmp_path: Path
) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam", "rmsprop"])
    optimcifar("report", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").as_uri()
    browser.get(page)
    WebDriverWait(browser, 30).until(lambda b: len(legend(b)) == 3)
    all_lines = lines(browser)
    assert all_lines == 3 * 5

    legend(browser)["adam"].click()
    WebDriverWait(browser, 30).until(lambda b: lines(b) == all_lines / 3)
    legend(browser)["sgd"].click()
    WebDriverWait(browser, 30).until(lambda b: lines(b) == 2 * all_lines / 3)

    def first_column() -> list[str]:
        return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "tbody td:first-child")]

    accuracy = next(e for e in browser.find_elements(By.TAG_NAME, "th") if e.text == "val acc")
    accuracy.click()
    assert first_column() == ["sgd", "adam", "rmsprop"]
    accuracy.click()
    assert first_column() == ["rmsprop", "adam", "sgd"]

    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # The browser's own start page asks for addresses of its own.
    assert [url for url in asked if not url.startswith(("data:", "blob:", "chrome"))] == [page]
