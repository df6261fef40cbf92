"""The server of a desk: on this machine only, at an address that nobody can guess."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

import uvicorn

from datasets.images import first_split
from desk.album import Album, refuse_outsiders
from desk.web.app import make_app
from desk.workplace import Workplace, find_chosen, open_chosen
from engine.flags.evaluate.options import SortOptions
from engine.results_folder import hold_results
from engine.workflows.sort import check_image_count
from evaluation.features.contents import hash_images
from runtime.errors import ConfigError, Problems

HOST = "127.0.0.1"
GRACE = 1  # seconds that open questions are given when the server ends
TEXT_BROWSERS = {"lynx", "w3m", "links", "elinks", "www-browser"}


def serve(options: SortOptions) -> None:
    """Serve the page until Ctrl-C; raises ConfigError or DataError before, and what stops the sorting afterwards."""
    if not Path(options.folder).is_dir():
        raise ConfigError(f"{options.folder} is no folder; the page sorts the photographs of one")
    with hold_results(options.place), listen(options.port) as door:
        place = open_workplace(options)
        token = secrets.token_urlsafe(16)
        server = uvicorn.Server(uvicorn.Config(make_app(place, token), log_level="warning", access_log=False,
                                               timeout_graceful_shutdown=GRACE))
        place.give_up = lambda: setattr(server, "should_exit", True)
        place.is_ending = lambda: server.should_exit
        address = f"http://{HOST}:{door.getsockname()[1]}/{token}/"
        print(f"open {address}\n  answers are kept in {options.place}; Ctrl-C ends it", flush=True)
        place.open()
        if options.open:
            open_browser(address)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.run(sockets=[door])
        ended = place.close()
    if place.failed is not None:
        raise place.failed
    print(f"\nended; everything is in {options.place}, and the same command goes on", file=sys.stderr)
    if not ended:  # a long computation, whose result nobody waits for, would be cut off with a crash
        sys.stdout.flush()
        os._exit(0)


def open_workplace(options: SortOptions) -> Workplace:
    """The photographs, their state so far, and the network that looks; raises ConfigError with every problem."""
    chosen = open_chosen(options, find_chosen(options))
    subject = chosen.subject
    split = options.split if options.split != "auto" else first_split(subject.root, "train")
    images = subject.images(split, "ignored")
    problems = Problems()
    problems.attempt(lambda: check_image_count(images, options.groups))
    problems.attempt(lambda: refuse_outsiders(images))
    problems.refuse()
    memo = subject.caches[0] if subject.caches else None
    album = Album(images, tuple(hash_images(images, None, memo)))
    place = Workplace(options, chosen, album)
    if new := place.import_old_names():
        print(f"{new} pictures are named by {options.labels or place.out / 'name_these.csv'}")
    return place


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


def open_browser(address: str) -> None:
    """Show the page, where this machine has a browser with windows."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if getattr(browser, "name", "") not in TEXT_BROWSERS:
            browser.open(address)
