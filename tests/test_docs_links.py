"""The pages know one another: docs/README.md lists each once, and every link leads to a file and a heading."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def find_links(text: str) -> list[str]:
    """The relative links of a page, without code and what lies elsewhere."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]


def list_anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them; of equal headings the second gets -1."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    times: Counter[str] = Counter()
    anchors = set()
    for name in (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain):
        anchors.add(f"{name}-{times[name]}" if times[name] else name)
        times[name] += 1
    return anchors


def find_broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    broken = []
    for link in find_links(text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in list_anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert find_broken(page, text) == []


def test_every_page_is_listed_once_and_the_list_is_found_from_the_front_page() -> None:
    links = Counter(find_links((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in links if not name.startswith("../")} == pages
    assert set(links.values()) == {1}
    assert {"docs/README.md", "CONTRIBUTING.md"} <= set(find_links((ROOT / "README.md").read_text(encoding="utf-8")))


def test_broken_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One `two` (3)\n## Twice\n## Twice\n```\n# none\n```\n")
    text = ("[a](b.md) [b](b.md#one-two-3) [c](b.md#twice-1) [d](https://x.y/z) `[e](none.md)` [f](gone.md#one) "
            "[g](b.md#none) [h](#here)\n# Here\n```\n[i](none.md)\n```\n")
    page = tmp_path / "a.md"
    page.write_text(text)
    assert find_broken(page, text) == ["gone.md#one", "b.md#none"]
