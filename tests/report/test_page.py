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
from selenium.webdriver.common.keys import Keys
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


LONG = "SGD-optimizer.lr=0.01-optimizer.weight_decay=0.0005-CosineAnnealingLR"


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Return the texts of elements, without those that have none."""
    return [text for element in browser.find_elements(By.CSS_SELECTOR, selector) if (text := element.text)]


def lines(browser: webdriver.Chrome) -> int:
    """Return how many lines the validation accuracies have: a configuration has one for each of 3 seeds, and a mean."""
    return len(browser.find_elements(By.CSS_SELECTOR, "#val_acc_by_epoch-0 svg .mark-line path"))


def legend_button(browser: webdriver.Chrome, name: str) -> WebElement:
    return next(e for e in browser.find_elements(By.CSS_SELECTOR, "#legend button") if e.text == name)


def set_width(browser: webdriver.Chrome, width: int) -> None:
    """Change the window's width: a window itself cannot be as narrow as a phone."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def overflow(browser: webdriver.Chrome) -> int:
    """Return by how many pixels the page is wider than its window."""
    found: int = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return found


def are_as_wide_as_their_places(browser: webdriver.Chrome) -> bool:
    """Return whether every chart is drawn, and fills its place."""
    found: bool = browser.execute_script(
        "const places = [...document.querySelectorAll('.chart')];"
        "return places.every(place => place.querySelector('svg')?.clientWidth === place.clientWidth)"
    )
    return found


def test_page_draws_switches_and_sorts_without_fetching(
    optimcifar: Callable[..., Outcome], browser: webdriver.Chrome, tmp_path: Path
) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam", LONG])
    optimcifar("report", tmp_path / "out", "--target_acc", 0.3)
    page = (tmp_path / "out" / "report.html").as_uri()
    wait = WebDriverWait(browser, 60)
    set_width(browser, 1280)
    browser.get(page)
    wait.until(are_as_wide_as_their_places)
    assert overflow(browser) == 0
    wide = browser.find_element(By.CSS_SELECTOR, "#val_acc_by_epoch-0 svg").size["width"]
    assert 500 < wide < 640  # two beside each other

    assert lines(browser) == 3 * 4
    assert texts(browser, "#differences-0 svg .role-axis-label text").count("better") == 2
    legend_button(browser, "adam").click()
    wait.until(lambda b: lines(b) == 2 * 4)
    assert legend_button(browser, "adam").get_attribute("aria-pressed") == "false"
    rows = texts(browser, "#final_accuracy-0 svg .role-axis-label text")
    assert ("adam" in rows, "sgd" in rows) == (False, True)
    legend_button(browser, "none").send_keys(Keys.ENTER)
    wait.until(lambda b: lines(b) == 0)
    legend_button(browser, "adam").send_keys(Keys.SPACE)
    wait.until(lambda b: lines(b) == 4)
    legend_button(browser, "all").click()
    wait.until(lambda b: lines(b) == 3 * 4)

    assert [e.get_attribute("aria-sort") for e in browser.find_elements(By.CSS_SELECTOR, "[aria-sort]")] == []
    accuracy = next(e for e in browser.find_elements(By.CSS_SELECTOR, "#verdicts button") if e.text == "val acc")
    accuracy.click()
    assert texts(browser, "#verdicts tbody th") == ["sgd", "adam", LONG]
    accuracy.send_keys(Keys.ENTER)
    assert texts(browser, "#verdicts tbody th") == [LONG, "adam", "sgd"]
    assert texts(browser, "[aria-sort=descending]") == ["val acc"]
    # The baseline has no p-value, and stands last in both directions.
    p_value = next(e for e in browser.find_elements(By.CSS_SELECTOR, "#verdicts button") if e.text == "adjusted p")
    for _ in range(2):
        p_value.click()
        assert texts(browser, "#verdicts tbody th")[-1] == "sgd"

    set_width(browser, 390)
    wait.until(are_as_wide_as_their_places)
    assert browser.find_element(By.CSS_SELECTOR, "#val_acc_by_epoch-0 svg").size["width"] == 390 - 2 * 16
    assert overflow(browser) == 0
    cells = browser.find_elements(By.CSS_SELECTOR, "tbody td, tbody th")
    assert all(16 <= cell.rect["x"] <= cell.rect["x"] + cell.rect["width"] <= 390 - 16 for cell in cells if cell.text)

    # altair 5 writes for Vega 5. What vl-convert has from 1.8 on, Vega 6, draws it too, and says so.
    log = [e["message"] for e in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    assert [message for message in log if "The compiled spec uses Vega v5" not in message] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # The browser's own start page asks for addresses of its own.
    assert [url for url in asked if not url.startswith(("data:", "blob:", "chrome"))] == [page]
