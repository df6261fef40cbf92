"""The addresses of a search page: the page, what it asks, its pictures. All lie below a token that its owner knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from datasets.files import decode
from desk.album import LARGE, encode_picture
from desk.search.evidence import Evidence
from desk.search.searcher import Searcher, Sought
from desk.search.uploads import LARGEST
from desk.web.guards import FRESH, KEPT, guard_routes, read_at_most
from evaluation.heatmaps.encoder_maps import RATIONALE
from evaluation.reports.html import load_templates
from runtime.errors import ConfigError, DataError
from runtime.names.spelling import show_name

HERE = Path(__file__).parent
SHARED: list[str | tuple[str, str]] = [("desk.web", "static"), ("evaluation.reports", "static")]  # the other pages'
SMALL, KEPT_SMALL = 320, 4096  # pixels of a picture in the grid; how many of them stay in memory
LONGEST = 1000  # letters of a question in words
SENT = "application/octet-stream"  # no form of another site can say this of what it sends


class SearchPage:
    """A searcher with what its page shows."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.evidence = searcher, Evidence(searcher)
        self.shrink = lru_cache(maxsize=KEPT_SMALL)(self._shrink)

    def _shrink(self, index: int) -> bytes:
        return encode_picture(self._decode(index, 2 * SMALL), SMALL, 82)

    def enlarge(self, index: int) -> bytes:
        """A photograph as the network's reader decodes it, at most LARGE pixels long (JPEG)."""
        return encode_picture(self._decode(index, LARGE), LARGE, 88)

    def _decode(self, index: int, size_hint: int) -> Image.Image:
        return decode(self.searcher.images.samples[index].path, self.searcher.subject.crop_bottom, size_hint)


def make_search_app(page: SearchPage, token: str) -> Starlette:
    """The application; nothing is answered but to this machine, below the token."""
    pictures: dict[str, Callable[[int], bytes]] = {
        "thumbnail": page.shrink, "photograph": page.enlarge, "attention": page.evidence.attend}
    routes: list[Route | Mount] = [
        Route("/", partial(send_page, page)),
        Route("/api/search", partial(take_search, page)),
        Route("/api/upload", partial(take_upload, page), methods=["POST"]),
        Route("/api/box/{index:int}", partial(send_box, page)),
        Route("/upload/{key}", partial(send_upload, page)),
        Route("/original/{index:int}", partial(send_original, page)),
        *(Route(f"/{name}/{{index:int}}", partial(send_picture, page, make)) for name, make in pictures.items()),
        Mount("/static", StaticFiles(directory=HERE / "static", packages=SHARED))]
    return guard_routes(routes, token)


def send_page(page: SearchPage, request: Request) -> Response:
    """The page; what it finds is asked for by its script."""
    searcher = page.searcher
    return HTMLResponse(load_templates(HERE / "templates").get_template("search.html").render(
        folder=show_name(searcher.images.root.resolve().name), problem=searcher.words.problem, largest=LARGEST,
        network=searcher.subject.describe(), total=f"{len(searcher.images):,}",
        looks="its rationale" if page.evidence.looks == RATIONALE else "the norm of its last map"), headers=FRESH)


async def take_search(page: SearchPage, request: Request) -> Response:
    """The nearest photographs of what the address asks for."""
    return await answer_or_tell(lambda: describe_neighbours(page.searcher, read_sought(request.query_params)))


async def answer_or_tell(work: Callable[[], dict[str, object]]) -> Response:
    """What some work, done beside, comes to; what cannot be done is an `error`, a sentence for the page.

    It is no 400, which browsers write into their console: a broken picture is nothing that the page does wrong.
    """
    def attempt() -> dict[str, object]:
        try:
            return work()
        except (ConfigError, DataError) as error:
            return {"error": str(error)}

    return JSONResponse(await run_in_threadpool(attempt), headers=FRESH)


def read_sought(words: Mapping[str, str]) -> Sought:
    """What an address asks for; raises DataError for what makes no sense."""
    try:
        like = int(words["like"]) if "like" in words else None
        part = [float(value) for value in words["part"].split(",")] if words.get("part") else None
    except ValueError as error:
        raise DataError(f"the address makes no sense ({error}): begin again") from error
    if part is not None and len(part) != 4:
        raise DataError("a part of a picture has four numbers: begin again")
    if len(words.get("words", "")) > LONGEST:
        raise DataError(f"more than {LONGEST} letters: say it shorter")
    return Sought(words.get("words", "").strip(), like, words.get("upload", ""), part)


def describe_neighbours(searcher: Searcher, sought: Sought) -> dict[str, object]:
    """What a page is told: rows of place, file, class and cosine (null where nothing was asked), and what it took."""
    found = searcher.answer(sought)
    scores = found.scores if found.scores is not None else [None] * len(found.places)
    samples = searcher.images.samples
    rows = [[place, show_name(samples[place].key), searcher.class_of(place), None if score is None else round(score, 4)]
            for place, score in zip(found.places, scores)]
    return {"title": found.title, "total": len(samples), "seconds": round(found.seconds, 4), "rows": rows}


async def take_upload(page: SearchPage, request: Request) -> Response:
    """Hold a picture that was sent; its key."""
    if request.headers.get("content-type") != SENT:
        return JSONResponse({"error": f"pictures come as {SENT}"}, status_code=400)
    name = show_name(request.query_params.get("name", ""))[-120:] or "your picture"
    try:
        content = await read_at_most(request, LARGEST)
    except DataError as error:
        return JSONResponse({"error": f"{name} has {error}: take a smaller copy"}, status_code=413)
    return await answer_or_tell(lambda: {"upload": page.searcher.uploads.add(content, name)})


async def send_upload(page: SearchPage, request: Request) -> Response:
    """A picture that was sent, as it is searched by."""
    sought = Sought(upload=request.path_params["key"])
    content = await run_in_threadpool(lambda: encode_picture(page.searcher.open(sought), LARGE, 88))
    return Response(content, media_type="image/jpeg", headers=KEPT)


async def send_picture(page: SearchPage, make: Callable[[int], bytes], request: Request) -> Response:
    """A photograph in one of the forms that the page shows."""
    content = await run_in_threadpool(make, find_photograph(page, request))
    return Response(content, media_type="image/jpeg", headers=KEPT)


def send_box(page: SearchPage, request: Request) -> Response:
    """Where the object is; null where none is seen."""
    return JSONResponse({"box": page.evidence.find_box(find_photograph(page, request))}, headers=FRESH)


def send_original(page: SearchPage, request: Request) -> Response:
    """The file itself."""
    path = page.searcher.images.samples[find_photograph(page, request)].path
    try:
        content = path.read_bytes()  # it may lie in an archive
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it was moved or removed since the page began") from error
    named = {"Content-Disposition": f"inline; filename*=utf-8''{quote(show_name(path.name), safe='')}"}
    return Response(content, media_type=guess_type(path.name)[0], headers=FRESH | named)


def find_photograph(page: SearchPage, request: Request) -> int:
    """The photograph that an address names."""
    index = int(request.path_params["index"])
    if index >= len(page.searcher.images):
        raise LookupError(f"there is no picture {index}")
    return index
