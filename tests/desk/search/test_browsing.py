"""The search page as a person works on it, in headless Chromium."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.desk.browser import Visitor, find_chromium, list_hosts, list_messages, open_chromium
from tests.desk.search.hosted import HostedSearch

pytestmark = pytest.mark.browser
Start = Callable[..., HostedSearch]


@pytest.fixture
def start(search_page: Start) -> Start:
    find_chromium()
    return search_page


class Page(Visitor):
    """A person before the page."""

    def __init__(self, browser: Any, served: HostedSearch, query: str = "") -> None:
        self.browser, self.served = browser, served
        browser.get(served.address + query)
        self.wait(lambda: self.all(".hit") or self.find("#fault").is_displayed())

    def files(self) -> list[str]:
        return [node.text for node in self.all(".hit .file")]

    def status(self) -> str:
        return self.find("#status").text

    def send(self, path: Path) -> None:
        self.find("#file").send_keys(str(path))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a box over the picture that is searched by; shares of its sides."""
        from selenium.webdriver import ActionChains

        picture = self.find("#query-picture")
        self.wait(lambda: picture.size["width"] > 100)
        width, height = picture.size["width"], picture.size["height"]
        (x, y), (u, v) = (((across - 0.5) * width, (down - 0.5) * height) for across, down in (start, end))
        chain = ActionChains(self.browser).move_to_element_with_offset(picture, x, y).click_and_hold()
        chain.move_to_element_with_offset(picture, u, v).release().perform()

    def overflows(self) -> bool:
        return self.browser.execute_script(
            "return [document.documentElement, ...document.querySelectorAll('#grid, #query, header')].some("
            "(part) => part.scrollWidth > part.clientWidth)")


def test_click_on_and_on_and_go_back(start: Start) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        assert "36 of 36 photographs" in page.status() and not page.find("#query").is_displayed()
        page.find('.hit img[alt="red_04.jpg"]').click()
        page.wait(lambda: "likeness to red_04.jpg" in page.status())
        assert "like=" in browser.current_url and all(file.startswith("red") for file in page.files()[:11])
        assert page.find("#query-picture").get_attribute("alt") == "red_04.jpg"
        assert all(len(node.text) == 5 for node in page.all(".hit .line b"))  # 0.987
        second = page.files()[0]
        page.find(".hit button").click()
        page.wait(lambda: f"likeness to {second}" in page.status())
        browser.back()
        page.wait(lambda: "likeness to red_04.jpg" in page.status())
        browser.back()
        page.wait(lambda: "36 of 36" in page.status())
        browser.forward()
        page.wait(lambda: "likeness to red_04.jpg" in page.status())
        browser.refresh()
        page.wait(lambda: page.files() and "likeness to red_04.jpg" in page.status())
        assert list_hosts(browser) == {served.host} and list_messages(browser) == []


def test_send_a_picture_and_search_by_a_part_of_it(start: Start, photographs: Path, tmp_path: Path) -> None:
    both = Image.new("RGB", (128, 48))
    for number, kind in enumerate(("green", "blue")):
        both.paste(Image.open(photographs / f"{kind}_00.jpg"), (64 * number, 0))
    both.save(tmp_path / "both.png")
    (tmp_path / "broken.jpg").write_bytes((photographs / "red_00.jpg").read_bytes()[:300])
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        page.send(tmp_path / "both.png")
        page.wait(lambda: "likeness to both.png" in page.status())
        page.drag((0.02, 0.02), (0.48, 0.98))
        page.wait(lambda: "a part of both.png" in page.status())
        assert all(file.startswith("green") for file in page.files()[:12]) and "part=0.0" in browser.current_url
        page.drag((0.52, 0.02), (0.98, 0.98))
        page.wait(lambda: page.files()[0].startswith("blue"))
        browser.back()
        page.wait(lambda: page.files()[0].startswith("green"))
        page.find("#whole").click()
        page.wait(lambda: "to both.png" in page.status())
        page.send(tmp_path / "broken.jpg")
        page.wait(lambda: page.find("#fault").is_displayed())
        assert "broken.jpg: cannot be decoded" in page.find("#fault").text
        page.find("#begin").click()
        page.wait(lambda: not page.find("#fault").is_displayed() and "36 of 36" in page.status())
        assert list_messages(browser) == []


def test_drop_a_picture(start: Start, photographs: Path) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        browser.execute_async_script(
            "const done = arguments[0]; fetch('photograph/0').then((answer) => answer.blob()).then((blob) => {"
            "const carried = new DataTransfer(); carried.items.add(new File([blob], 'dropped.jpg'));"
            "for (const type of ['dragenter', 'drop']) document.body.dispatchEvent(new DragEvent(type, {dataTransfer: carried, bubbles: true, cancelable: true}));"
            "done(); })")
        page.wait(lambda: "likeness to dropped.jpg" in page.status())
        assert page.files()[0] == "blue_00.jpg" and not page.find("#drop").is_displayed()


def test_evidence_is_shown_when_wanted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    served = start()
    asked: list[int] = []
    monkeypatch.setattr("desk.search.evidence.find_object", lambda subject, sample, *_: asked.append(1) or [0.25, 0.0, 0.75, 0.5])
    with open_chromium() as browser:
        page = Page(browser, served, "?like=0")
        assert not asked and not any(mark.is_displayed() for mark in page.all(".hit i"))
        page.find('[data-show="box"]').click()
        page.wait(lambda: page.find(".hit i").is_displayed())
        mark, picture = page.find(".hit i").rect, page.find(".hit img").rect
        assert mark["x"] - picture["x"] == pytest.approx(picture["width"] / 4, abs=2) and mark["height"] == pytest.approx(picture["height"] / 2, abs=2)
        assert "show=box" in browser.current_url
        page.find('[data-show="attention"]').click()
        page.wait(lambda: "attention" in page.find(".hit img").get_attribute("src"))
        assert not page.find(".hit i").is_displayed()
        browser.refresh()
        page.wait(lambda: "attention" in page.find(".hit img").get_attribute("src"))
        page.find('[data-show="picture"]').click()
        page.wait(lambda: "thumbnail" in page.find(".hit img").get_attribute("src"))
        assert list_messages(browser) == []


def test_keys_are_enough(start: Start) -> None:
    from selenium.webdriver import ActionChains, Keys

    served = start()
    with open_chromium() as browser:
        page = Page(browser, served, "?like=0")
        first, second = page.files()[:2]
        focused = "return document.activeElement.querySelector('img')?.alt ?? document.activeElement.id"
        browser.execute_script("document.querySelector('.hit button').focus()")
        ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
        assert browser.execute_script(focused) == second != first
        ActionChains(browser).send_keys(Keys.ARROW_LEFT).perform()
        assert browser.execute_script(focused) == first
        ActionChains(browser).send_keys(Keys.TAB, Keys.TAB).perform()  # its link, then the next picture
        assert browser.execute_script(focused) == second
        ActionChains(browser).send_keys(Keys.ENTER).perform()
        page.wait(lambda: f"likeness to {second}" in page.status())
        browser.execute_script("document.querySelector('#stage').focus()")
        ActionChains(browser).send_keys(Keys.ARROW_LEFT).key_down(Keys.SHIFT).send_keys(Keys.ARROW_DOWN).key_up(Keys.SHIFT).send_keys(Keys.ENTER).perform()
        page.wait(lambda: f"a part of {second}" in page.status())
        assert "part=0.2300%2C0.2500%2C0.7300%2C0.7700" in browser.current_url


def test_a_thousand_are_shown_by_a_few_cells(start: Start, photographs: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 12), "teal").save(small, "PNG")
    for number in range(1100):
        (photographs / f"teal_{number:04d}.png").write_bytes(small.getvalue())
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served, "?like=0")
        assert "nearest 1,000 of 1,136" in page.status() and len(page.all(".hit")) < 80
        browser.execute_script("const grid = document.querySelector('#grid'); grid.scrollTop = grid.scrollHeight / 2")
        page.wait(lambda: float(page.find(".hit").value_of_css_property("top")[:-2]) > 5000)
        assert len(page.all(".hit")) < 80
        scrolled = browser.execute_script("return document.querySelector('#grid').scrollTop")
        page.all(".hit button")[len(page.all(".hit")) // 2].click()
        page.wait(lambda: browser.execute_script("return document.querySelector('#grid').scrollTop") == 0)
        browser.back()
        page.wait(lambda: browser.execute_script("return document.querySelector('#grid').scrollTop") == scrolled)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)])
def test_it_fits_screens_by_day_and_night(width: int, dark: bool, start: Start, photographs: Path) -> None:
    (photographs / "red_00.jpg").rename(photographs / f"red_{'a_very_long_name' * 8}.jpg")
    served = start()
    with open_chromium(width, 800, dark=dark) as browser:
        page = Page(browser, served)
        assert not page.overflows()
        page = Page(browser, served, "?like=30&part=0.1,0.1,0.6,0.6")
        page.wait(lambda: page.find("#part").is_displayed())
        assert not page.overflows()
        assert page.find("#grid").size["height"] > 250
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, colour[4:-1].split(","))) < 200) == dark
        assert browser.execute_script("return [...document.images].every((one) => one.alt)")
        assert list_messages(browser) == [] and list_hosts(browser) == {served.host}


def test_a_server_that_stopped_is_told(start: Start) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        served.end()
        page.find(".hit button").click()
        page.wait(lambda: "server has stopped" in page.find("#fault").text)
