"""The service that the cases are run against: a process of its own, with an API key."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.launching import Start
from tests.acceptance.server import Server

#: The machine may be busy, and whoever tests a client waits rather than starts again.
START_SECONDS = 180.0
KEY = "conformance-key-of-32-characters"
HANDLERS = Path(__file__).with_name("handlers.py")


@contextmanager
def service(begin: Start, database_url: str, folder: Path) -> Iterator[Server]:
    """Run the service on a migrated database."""
    server = Server(begin, database_url, folder, handlers=HANDLERS, api_key=KEY)
    try:
        server.start(within=START_SECONDS)
        yield server
    finally:
        server.close()
