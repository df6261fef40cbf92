"""What all pages share that this machine serves to itself: who is answered, and what browsers are told."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.errors import DataError

HOSTS = ["127.0.0.1", "localhost"]
KEPT = {"Cache-Control": "private, max-age=86400"}  # of pictures whose address tells which they are
FRESH = {"Cache-Control": "no-store"}
HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
                                b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin"}


def guard_routes(routes: list[Route | Mount], token: str) -> Starlette:
    """An application that answers nothing but to this machine, below the token."""
    guards = [Middleware(AddHeaders), Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)]
    absent = dict.fromkeys((LookupError, DataError), tell_absent)
    return Starlette(routes=[Mount(f"/{token}", routes=routes)], middleware=guards, exception_handlers=absent)


class AddHeaders:
    """Tells browsers to ask no other place for anything, and to tell none where they were."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added."""
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_more)


def tell_absent(request: Request, error: Exception) -> Response:
    """The answer to an address of nothing: a picture that is gone or cannot be read, a result before its time."""
    return JSONResponse({"error": str(error)}, status_code=404)


async def read_at_most(request: Request, most: int) -> bytes:
    """What a page sent; raises DataError for more bytes than `most`."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            raise DataError(f"more than {most:,} bytes at once")
    return bytes(content)
