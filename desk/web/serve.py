"""The server of a desk: on this machine only, at an address that nobody can guess."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from datasets.images import first_split
from desk.album import Album, refuse_outsiders
from desk.web.app import make_app
from desk.web.door import listen, make_server, name_address, open_browser
from desk.workplace import Workplace, find_chosen, open_chosen
from engine.flags.evaluate.options import SortOptions
from engine.results_folder import hold_results
from engine.workflows.sort import check_image_count
from evaluation.features.contents import hash_images
from runtime.errors import ConfigError, Problems


def serve(options: SortOptions) -> None:
    """Serve the page until Ctrl-C; raises ConfigError or DataError before, and what stops the sorting afterwards."""
    if not Path(options.folder).is_dir():
        raise ConfigError(f"{options.folder} is no folder; the page sorts the photographs of one")
    with hold_results(options.place), listen(options.port) as door:
        place = open_workplace(options)
        token = secrets.token_urlsafe(16)
        server = make_server(make_app(place, token))
        place.give_up = lambda: setattr(server, "should_exit", True)
        place.is_ending = lambda: server.should_exit
        address = name_address(door, token)
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
