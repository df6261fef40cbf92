"""The page as a person works on it, in headless Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from engine.workflows.sort import Sight
from evaluation.sorting.cloud import survey
from tests.desk.browser import Visitor, find_chromium, list_hosts, list_messages, open_chromium
from tests.desk.served import Hosted, Questions, Served

pytestmark = pytest.mark.browser
Asked = TypeVar("Asked", bound=Questions)
TABS = ("ask", "all", "names", "finish")


@pytest.fixture
def start(host: Callable[..., Hosted]) -> Callable[..., Hosted]:
    """start(): the photographs' page, once all is known of them."""
    find_chromium()

    def begin(*words: object) -> Hosted:
        return wait_until_known(host("--groups", "3", *words))

    return begin


def wait_until_known(page: Asked) -> Asked:
    """The page, once all is known of its photographs."""
    page.wait(lambda state: state.get("landscape", {}).get("twins"))
    return page


class Page(Visitor):
    """A person before the page."""

    def __init__(self, browser: Any, served: Questions) -> None:
        self.browser, self.served = browser, served
        browser.get(served.address)
        self.wait(lambda: self.find("#ask").is_displayed())

    def type(self, text: str, selector: str = "#name-input") -> None:
        self.find(selector).send_keys(text)

    def shown(self) -> str:
        """The file of the picture that is asked for."""
        return self.find("#current-file").text

    def open(self, tab: str) -> None:
        self.find(f"#tab-{tab}").click()
        self.wait(lambda: self.find(f"#{tab}").is_displayed())

    def names(self) -> dict[str, int]:
        """Names and their pictures, as the tab tells."""
        self.open("names")
        rows = [row.find_elements("css selector", "td") for row in self.all("#name-rows tr")]
        return {cells[0].text: int(cells[1].text) for cells in rows if len(cells) == 4}

    def name_current(self) -> str:
        """Type the true name of the picture shown, and Enter; wait for the next one."""
        file = self.shown()
        self.type(file.partition("_")[0] + "\n")
        self.wait(lambda: self.shown() != file)
        return file


ENTER, BACKSPACE, ESCAPE = "\ue007", "\ue003", "\ue00c"


def test_name_twenty_undo_reload_kill_go_on_finish(serve: Callable[..., Served], tmp_path: Path) -> None:
    find_chromium()
    served = wait_until_known(serve("--groups", "3"))
    with open_chromium() as browser:
        page = Page(browser, served)
        named = [page.name_current() for _ in range(20)]
        assert len(set(named)) == 20
        page.wait(lambda: served.state()["sorted"]["given"] == 20)
        page.wait(lambda: sum(page.names().values()) == 36)  # the rest has names, too
        assert set(page.names()) == {"red", "green", "blue"}
        page.open("ask")
        page.find("#undo").click()
        page.wait(lambda: served.follow()["sorted"]["given"] == 19)
        page.find("#redo").click()
        page.wait(lambda: served.follow()["sorted"]["given"] == 20)
        browser.refresh()
        page.wait(lambda: "of 36 sorted" in page.find("#status").text)
        assert set(page.names()) == {"red", "green", "blue"}
        served.kill()
        page.wait(lambda: page.find("#gone").is_displayed())
        assert list_hosts(browser) == {served.host}
        again = wait_until_known(serve("--groups", "3"))
        page = Page(browser, again)
        assert again.follow()["sorted"]["given"] == 20 and sum(page.names().values()) == 36
        page.open("finish")
        assert "3 folders" in page.find("#folders").text
        page.find("#finish-link").click()
        page.wait(lambda: "state/sorted" in page.find("#finished").text)
        filed = {path.name: path.parent.name for path in (tmp_path / "state" / "sorted").glob("*/*")}
        assert len(filed) == 36 and all(filed[file] == file.partition("_")[0] for file in named)
        assert all(place in ("unsure", "unknown") or file.startswith(place) for file, place in filed.items())
        assert list_hosts(browser) <= {served.host, again.host}  # the old page still knocks


def test_the_keyboard_alone(start: Callable[..., Hosted]) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        first = page.name_current()
        kind = first.partition("_")[0]
        second = page.shown()
        page.type("?")
        page.wait(lambda: page.shown() != second)
        third = page.shown()
        page.type("x")  # alone, and then nothing
        page.wait(lambda: page.shown() != third)
        fourth = page.shown()
        page.type(ENTER)  # skipped
        page.wait(lambda: page.shown() != fourth)
        page.type(BACKSPACE)
        page.wait(lambda: page.shown() == fourth)
        page.type(kind[:2])
        page.wait(lambda: [line.text for line in page.all("#name-list li")] == [kind])
        page.type("\t")  # the first name offered
        assert page.find("#name-input").get_attribute("value") == kind
        page.type(ENTER)
        page.wait(lambda: page.shown() != fourth)
        page.wait(lambda: served.follow()["sorted"]["answered"] == 4)
        files, states = served.captions()["files"], served.columns()["states"]
        assert [states[files.index(file)] for file in (first, second, third, fourth)] == [1, 2, 3, 1]
        page.type("xen")  # an x that begins a name
        time.sleep(1)
        assert page.find("#name-input").get_attribute("value") == "xen"
        page.type(BACKSPACE * 3)
        for left in (3, 2, 1, 0):
            browser.execute_script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
                                   "{key: 'z', ctrlKey: true, bubbles: true}))")
            page.wait(lambda left=left: served.follow()["sorted"]["answered"] == left)
        assert list_messages(browser) == []


def test_many_at_once_merge_and_rename(start: Callable[..., Hosted]) -> None:
    served = start()
    with open_chromium() as browser:
        from selenium.webdriver.support.ui import Select

        page = Page(browser, served)
        page.open("all")
        Select(page.find("#arrange")).select_by_value("group")
        page.wait(lambda: [head.text for head in page.all(".head")][0].startswith("group 1"))
        page.all(".head button")[0].click()
        page.wait(lambda: page.find("#selected").text == "12 selected")
        page.type("colourful\n", "#selection-input")
        page.wait(lambda: served.follow()["sorted"]["given"] == 12)
        page.find("#find").send_keys("_03")
        page.wait(lambda: len(page.all("#canvas .cell")) == 3)
        cells = sorted(page.all("#canvas .cell"), key=lambda cell: (cell.location["y"], cell.location["x"]))
        browser.execute_script(
            "for (const [place, key] of [[0, 'ctrlKey'], [2, 'shiftKey']]) arguments[place].dispatchEvent("
            "new MouseEvent('click', {bubbles: true, [key]: true}))", *cells)
        page.wait(lambda: page.find("#selected").text == "3 selected")
        page.type("threes\n", "#selection-input")
        page.wait(lambda: served.follow()["names"] == ["colourful", "threes"])
        page.open("names")
        page.wait(lambda: len(page.all("#name-rows tr")) == 2)
        page.all("#name-rows button")[3].click()
        field = page.find("#name-rows input")
        field.clear()
        field.send_keys("Colourful")
        page.wait(lambda: page.find("#name-rows button.main").text == "merge into colourful")
        field.send_keys(ENTER)
        page.wait(lambda: served.follow()["names"] == ["colourful"])
        assert served.state()["sorted"]["given"] in (14, 15)  # one of the threes may have been in the group


def test_two_tabs_see_each_other(start: Callable[..., Hosted]) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        file = page.shown()
        browser.switch_to.new_window("tab")
        other = Page(browser, served)
        assert other.shown() == file
        other.type("crow\n")
        other.wait(lambda: other.shown() != file)
        browser.switch_to.window(browser.window_handles[0])
        page.wait(lambda: not page.find("#undo").get_property("disabled"))
        page.wait(lambda: "you called it crow" in page.find("#guess").text or page.shown() != file)
        assert served.follow()["names"] == ["crow"] and "of 36 sorted" in page.find("#status").text


def test_a_search_in_a_scrolled_grid_is_done(start: Callable[..., Hosted]) -> None:
    served = start()
    with open_chromium(400, 500) as browser:
        page = Page(browser, served)
        page.open("all")
        page.wait(lambda: page.find("#shown").text == "36 of 36")
        browser.execute_script("document.getElementById('grid').scrollTop = 300")
        time.sleep(0.3)
        page.find("#find").send_keys("_03")
        page.wait(lambda: page.find("#shown").text == "3 of 36")


def test_a_lone_x_is_of_the_picture_before_which_it_was_typed(start: Callable[..., Hosted]) -> None:
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        page.type("x")
        page.all("#queue figure")[2].click()
        time.sleep(1)
        assert served.follow()["sorted"]["answered"] == 0


def test_another_network_shows_without_an_answer(start: Callable[..., Hosted]) -> None:
    served = start()
    served.name({"red_00.jpg": "red", "green_00.jpg": "green", "blue_00.jpg": "blue"})
    served.follow()
    with open_chromium() as browser:
        page = Page(browser, served)
        assert page.names() == {"red": 12, "green": 12, "blue": 12}
        desk = served.place.desk
        points = F.normalize(torch.eye(2, 8)[torch.arange(36) // 12 // 2] + 0.01 * torch.randn(36, 8), dim=1)
        desk.seat(Sight(survey(points), torch.zeros(36), 1.0))  # to which green is as blue
        page.open("all")
        page.find("#find").send_keys("green_07")
        label = int(desk.standing.labels[19])
        page.wait(lambda: desk.standing.names[label] in page.find("#canvas .cell b").text
                  and f"{int(desk.standing.confidence[19] * 100 + 1e-4) / 100:.2f}" in page.find("#canvas .cell b").text)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_the_screen_says_nothing_and_asks_nobody(
    width: int, dark: bool, start: Callable[..., Hosted], photographs: Path
) -> None:
    long = "a_name_of_one_word_that_is_longer_than_any_screen_of_a_telephone_is_wide_and_does_not_end_" * 2
    Image.new("RGB", (400, 30), (90, 90, 200)).save(photographs / f"{long}.png")
    served = start()
    served.name({"red_00.jpg": "red", "green_00.jpg": long[:150], "blue_00.jpg": "blue"})
    served.follow()
    with open_chromium(width, 800, dark=dark) as browser:
        page = Page(browser, served)
        for tab in TABS:
            page.open(tab)
            time.sleep(0.3)
            wide, room = browser.execute_script(
                "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= room, tab
            inner = browser.execute_script(f"const s = document.getElementById('{tab}'); return [s.scrollWidth, s.clientWidth]")
            assert inner[0] <= inner[1], tab
        page.open("all")
        page.all("#canvas .cell")[0].click()
        page.wait(lambda: page.find("#viewer").is_displayed() and len(page.all("#viewer-near figure")) == 5)
        page.wait(lambda: "red" in page.find("#viewer-facts").text or "jpg" in page.find("#viewer-facts").text
                  or "png" in page.find("#viewer-facts").text)
        assert all(picture.get_attribute("alt") is not None for picture in page.all("img"))
        background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") is not dark
        assert list_messages(browser) == [] and list_hosts(browser) == {served.host}


@pytest.mark.slow
def test_fifty_thousand_cells_scroll_by_drawing_a_hundred(start: Callable[..., Hosted]) -> None:
    """The grid alone, told that there are 50,000 pictures."""
    served = start()
    with open_chromium() as browser:
        page = Page(browser, served)
        page.open("all")
        browser.execute_async_script("""
            const done = arguments[0];
            import(new URL("static/store.js", location.href)).then(({ store }) => {
              const count = 50000, files = Array.from({ length: count }, (_, place) => `${place}.jpg`);
              Object.assign(store, { files, contents: files, landscape: null, columns: { version: store.columns.version,
                names: ["one"], labels: new Int16Array(count), confidence: new Uint8Array(count).fill(50),
                unlike: new Uint8Array(count), disagreement: new Uint8Array(count), states: new Uint8Array(count) } });
              document.getElementById("arrange").dispatchEvent(new Event("input"));
              done();
            });""")
        page.wait(lambda: page.find("#shown").text == "50,000 of 50,000")
        seconds, most = browser.execute_async_script("""
            const done = arguments[0], grid = document.getElementById("grid"), times = [];
            let most = 0, step = 0;
            const next = () => {
              const start = performance.now();
              grid.scrollTop = step * 2500;
              grid.dispatchEvent(new Event("scroll"));
              requestAnimationFrame(() => requestAnimationFrame(() => {
                times.push(performance.now() - start);
                most = Math.max(most, document.querySelectorAll("#canvas .cell").length);
                if (++step < 100) next(); else done([times.sort((a, b) => a - b)[50] / 1000, most]);
              }));
            };
            next();""")
        assert most < 400 and seconds > 0
