"""The addresses of a desk: a page, its parts, and what they ask. All lie below a token that only its owner knows."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from desk.desk import Conflict
from desk.web.guards import FRESH, KEPT, guard_routes
from desk.web.pages import render_desk, render_result
from desk.web.payloads import describe_photograph, describe_state, pack_columns, pack_landscape
from desk.web.questions import ASKS, Ask, read_question
from desk.workplace import Workplace
from runtime.errors import ConfigError, DataError, StopTraining

STATIC = Path(__file__).parent / "static"
SHARED = ("evaluation.reports", "static")  # scripts that pages without a server have too
PATIENCE, PAUSE = 20.0, 0.05  # seconds that a page waits for news before it asks again; between two looks


def make_app(place: Workplace, token: str) -> Starlette:
    """The application for a folder's desk; nothing is answered but to this machine, below the token."""
    looks = {"/": show_page, "/result/{step}": show_result, "/result/{step}/{file:path}": show_file,
             "/api/state": show_state, "/api/columns": show_columns, "/api/landscape": show_landscape,
             "/api/captions": show_captions, "/api/picture/{index:int}": show_facts, "/api/box/{index:int}": show_box,
             "/thumbnail/{index:int}": show_thumbnail, "/photograph/{index:int}": show_photograph}
    routes: list[Route | Mount] = [Route(path, partial(look, place)) for path, look in looks.items()]
    routes += [Route(f"/api/{name}", partial(take_post, place, ask), methods=["POST"]) for name, ask in ASKS.items()]
    routes.append(Mount("/static", StaticFiles(directory=STATIC, packages=[SHARED])))
    return guard_routes(routes, token)


def show_page(place: Workplace, request: Request) -> Response:
    """The page."""
    return HTMLResponse(render_desk(place), headers=FRESH)


async def show_state(place: Workplace, request: Request) -> Response:
    """The state, as soon as it is another than the one of tick `since`."""
    since, end = request.query_params.get("since"), time.monotonic() + PATIENCE
    while str(place.desk.tick) == since and time.monotonic() < end and not place.is_ending():
        await asyncio.sleep(PAUSE)
    state = await run_in_threadpool(lambda: {**describe_state(place.desk), "steps": place.describe_steps()})
    return JSONResponse(state, headers=FRESH)


def show_columns(place: Workplace, request: Request) -> Response:
    """What there is one of per picture and may change with every answer."""
    return Response(pack_columns(place.desk), media_type="application/octet-stream", headers=FRESH)


def show_landscape(place: Workplace, request: Request) -> Response:
    """What there is one of per picture and depends on its look alone."""
    return Response(pack_landscape(place.desk), media_type="application/octet-stream", headers=FRESH)


def show_captions(place: Workplace, request: Request) -> Response:
    """Files, for people, and contents, for answers, in the order of the album."""
    album = place.desk.album
    return JSONResponse({"files": [album.caption(index) for index in range(len(album))], "contents": album.contents},
                        headers=FRESH)


def show_facts(place: Workplace, request: Request) -> Response:
    """What is told beside a large picture."""
    return JSONResponse(describe_photograph(place.desk, find_index(place, request)), headers=FRESH)


def show_box(place: Workplace, request: Request) -> Response:
    """Where the object is, in shares of the picture's width and height; null where none is seen."""
    return JSONResponse({"box": place.boxes.find(find_index(place, request))}, headers=FRESH)


def show_thumbnail(place: Workplace, request: Request) -> Response:
    """A small picture."""
    content = place.thumbnails.read(place.desk.album, find_index(place, request))
    return Response(content, media_type="image/jpeg", headers=KEPT)


def show_photograph(place: Workplace, request: Request) -> Response:
    """A large picture."""
    return Response(place.read_large(find_index(place, request)), media_type="image/jpeg", headers=KEPT)


def show_result(place: Workplace, request: Request) -> Response:
    """What came out of a step."""
    return HTMLResponse(render_result(place, request.path_params["step"]), headers=FRESH)


def show_file(place: Workplace, request: Request) -> Response:
    """One of the files that a step made for its result page."""
    path = place.workshop.steps.find_file(request.path_params["step"], request.path_params["file"])
    return FileResponse(path, headers=FRESH) if path else Response(status_code=404)


def find_index(place: Workplace, request: Request) -> int:
    """The picture that an address names."""
    index = int(request.path_params["index"])
    if index >= len(place.desk.album):
        raise LookupError(f"there is no picture {index}")
    return index


async def take_post(place: Workplace, ask: Ask, request: Request) -> Response:
    """Do what is asked; what cannot be done is told in a sentence."""
    try:
        question = await read_question(request)
        return JSONResponse(await run_in_threadpool(ask, place, question), headers=FRESH)
    except Conflict as error:
        return JSONResponse({"error": str(error)}, status_code=409)
    except StopTraining as error:  # the disk refuses: nothing was taken down
        return JSONResponse({"error": str(error)}, status_code=507)
    except (ConfigError, DataError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    except OSError as error:
        print(f"note: {error}", file=sys.stderr)
        return JSONResponse({"error": str(error)}, status_code=500)
