"""The way to a page: a socket of this machine alone, an address that nobody can guess, a browser that shows it."""

from __future__ import annotations

import socket
import webbrowser
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from runtime.errors import ConfigError

HOST = "127.0.0.1"
GRACE = 1  # seconds that open questions are given when the server ends
TEXT_BROWSERS = {"lynx", "w3m", "links", "elinks", "www-browser"}


def listen(port: int) -> socket.socket:
    """A socket of this machine alone; raises ConfigError where the port is taken."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, port))
        door.listen()  # the address is good as soon as it is printed
    except OSError as error:
        door.close()
        raise ConfigError(f"--port {port} is not free ({error.strerror}); give another, or 0 for any") from error
    return door


def name_address(door: socket.socket, token: str) -> str:
    """Where a page is found."""
    return f"http://{HOST}:{door.getsockname()[1]}/{token}/"


def make_server(app: ASGIApp, grace: int = GRACE) -> uvicorn.Server:
    """A server that says nothing of its work, and gives open questions `grace` seconds when it ends."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=grace))


def open_browser(address: str) -> None:
    """Show the page, where this machine has a browser with windows."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if getattr(browser, "name", "") not in TEXT_BROWSERS:
            browser.open(address)
