"""Headless Chromium, as the browser tests drive it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest


def find_chromium() -> tuple[str, str]:
    """Chromium and its driver; the test is skipped where one of them, or selenium, is missing."""
    pytest.importorskip("selenium", reason="no selenium: pip install -r requirements-tests.txt")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with its driver; on Debian: apt-get install chromium chromium-driver")
    return chromium, driver


@contextmanager
def open_chromium(width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[Any]:
    """A browser with a window of that size, in the light or the dark."""
    chromium, driver = find_chromium()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    try:
        yield browser
    finally:
        browser.quit()


class Visitor:
    """What a person before a page does, whichever page it is."""

    browser: Any

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def wait(self, holds: Callable[[], object]) -> None:
        for _ in range(300):
            try:
                if holds():
                    return
            except Exception as error:  # a part of the page that was just replaced
                if "stale" not in str(error) and "no such element" not in str(error):
                    raise
            time.sleep(0.05)
        assert holds()


def list_hosts(browser: Any) -> set[str]:
    """Every machine that the pages asked for something since the last look."""
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {urlsplit(address).netloc for address in asked if not address.startswith("data:")}


def list_messages(browser: Any) -> list[str]:
    """What the console said since the last look."""
    return [line["message"] for line in browser.get_log("browser")]
