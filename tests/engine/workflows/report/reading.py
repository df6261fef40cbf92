"""A page as its reader has it: parts by their tags, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("img", "br", "meta", "path", "circle", "link", "input")


class Page(HTMLParser):
    """`links`: every src and href; `pictures`: (alt, source); `charts`: (title, words below and within)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[tuple[str, str]] = []
        self.charts: list[list[str]] = []
        self.labels: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.within = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.links += [told[name] for name in ("src", "href", "srcset", "data", "action") if name in told]
        if tag == "img":
            self.pictures.append((told.get("alt", ""), told["src"]))
        if tag == "figure" and told.get("class") == "chart":
            self.charts.append([])
            self.within = True
        if tag == "svg" and told.get("role") == "img":
            self.labels.append(told.get("aria-label", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag, f"{tag} closes what it did not open"
        if tag == "figure":
            self.within = False

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())
            if self.within:
                self.charts[-1].append(data.strip())

    def panel(self, title: str) -> list[str]:
        """All words of the chart with this title."""
        return next(words for words in self.charts if words[0] == title)
