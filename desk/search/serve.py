"""The server of a search page: on this machine only, at an address that nobody can guess."""

from __future__ import annotations

import secrets
import sys
from contextlib import suppress

from desk.search.app import SearchPage, make_search_app
from desk.search.searcher import open_searcher
from desk.web.door import listen, make_server, name_address, open_browser
from engine.flags.evaluate.options import QueryOptions

GRACE = 20  # seconds in which evidence that is being found may be found: threads that compute cannot be cut off


def serve_search(options: QueryOptions) -> None:
    """Look at all photographs, then serve the page until Ctrl-C; raises what stops it before."""
    with listen(options.port) as door:
        searcher = open_searcher(options)
        token = secrets.token_urlsafe(16)
        page = SearchPage(searcher)
        server = make_server(make_search_app(page, token), grace=GRACE)
        page.evidence.is_ending = lambda: server.should_exit
        address = name_address(door, token)
        print(f"open {address}\n  {len(searcher.images):,} photographs, seen by {searcher.subject.describe()}; "
              "Ctrl-C ends it", flush=True)
        if options.open:
            open_browser(address)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.run(sockets=[door])
    print("\nended; no picture that was sent is kept", file=sys.stderr)
