"""Fixtures and hooks of all tests."""

import gc
import logging
import os
import signal
import sys
import zoneinfo
from collections.abc import Generator, Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

from tests.support.connects import Connects, counted
from tests.support.postgres import fast_directory

if TYPE_CHECKING:
    from tests.acceptance.launching import Forked

pytest_plugins = ["tests.support.torture", "tests.support.databases"]


def pytest_configure() -> None:
    """Put the folders of tests in memory if there is room: on a disk, each commit on SQLite waits for it."""
    # A shell lets what it starts in the background ignore interrupts, and programs inherit that: tests send some.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(fast_directory()))
    # Tests must compute with the release of tzdata that the service computes with.
    zoneinfo.reset_tzpath(to=())
    # The duration of an example means nothing on a busy machine; costs have tests of their own.
    settings.register_profile("rota", deadline=None)
    settings.load_profile("rota")
    # httpx's ASGI transport tries to import it for each request, and Python searches the whole path each time.
    if find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]  # "it is not there", as Python notes it


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage meanwhile: nearly all that is made stays, and looking through it again takes a fifth of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each worker begin to read a folder elsewhere: what one has compiled, the others find compiled."""
    report = yield
    if isinstance(collector, pytest.Directory) and report.result:
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        first = len(report.result) * number // workers
        report.result = [*report.result[first:], *report.result[:first]]
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with slow tests, so that no worker is left with one at the end. All workers need the same order."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path))


def pytest_collection_finish() -> None:
    """Exclude loaded modules from garbage collection, each full pass of which takes a second otherwise.

    And let it come as rarely as in the service, which sets the same: it takes a tenth of the tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def logs_go_to_pytest() -> None:
    """Warnings and errors of the service are shown with the test that fails.

    Not through `sys.stdout`: the threads of a service write while pytest exchanges and empties that stream, which can
    crash CPython 3.11 (gh-119506).
    """
    drawn = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, drawn],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


@pytest.fixture(scope="session", autouse=True)
def connects() -> Iterator[Connects]:
    """Count what the service connects to in all tests."""
    with counted() as connects:
        yield connects


@pytest.fixture(autouse=True)
def _every_connection_is_made_by_the_guard(connects: Connects) -> Iterator[None]:
    yield
    unguarded, connects.unguarded = connects.unguarded, []
    assert unguarded == [], (
        "the service has opened a connection that the egress guard has not judged"
    )


@pytest.fixture(scope="session", autouse=True)
def distributions_are_looked_through_once() -> Iterator[None]:
    """Each service that starts searches all distributions for handlers; they do not change during the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rota.handlers.loading.entry_points", cache(entry_points))
        yield


@pytest.fixture(scope="session")
def forked() -> Iterator["Forked"]:
    """Start services quickly; `Installed()` starts them as they are deployed."""
    from tests.acceptance.launching import Forked

    begin = Forked()
    yield begin
    begin.close()
