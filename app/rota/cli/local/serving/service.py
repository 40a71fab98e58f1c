"""The service, in this process, until a signal stops it."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from rota import logs
from rota.api.edge.limits import limits
from rota.api.edge.protocol import http_protocol
from rota.api.edge.security_headers import HEADERS
from rota.cli.local.database.opened import database_of
from rota.cli.local.serving.first_start import hold_everything, make_new_file
from rota.cli.local.terminal import announce, refusal
from rota.clock import SystemClock
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.errors import AppError
from rota.listening import check_loopback, listen
from rota.main import VERSION, create_app
from rota.setting_names import unknown_variables
from rota.settings import Settings
from rota.store.access.reading import has_administrators

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# How many seconds open HTTP requests may take once the service stops; runs have their own grace period.
_HTTP_GRACE = 5


def run_service(settings: Settings, *, paused: bool = False) -> None:
    """Serve until a signal stops it. Exits with what prevents the start."""
    only_loopback = _is_bound_to_loopback(settings)
    logs.configure(settings)
    _warn_of_unknown_variables()
    try:
        with (
            _listening(settings, only_loopback=only_loopback) as sockets,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            make_new_file(settings)
            if paused:
                hold_everything(settings)
            runner.run(_serve(settings, sockets))
    except AppError as error:
        raise refusal(error.detail) from None


@contextmanager
def _listening(settings: Settings, *, only_loopback: bool) -> Iterator[list[socket.socket]]:
    """Open the port before anything starts: if it is in use, a second process would begin runs and drop them."""
    sockets = listen(settings.host, settings.port, only_loopback=only_loopback)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def _serve(settings: Settings, sockets: list[socket.socket]) -> None:
    """Start the service, then accept; stop accepting, then drain. Raises what prevents the start."""
    application = create_app(settings)
    config = server_config(application, settings)
    server = _Server(config, application, partial(_greet, settings, sockets))

    def stop(*_: object) -> None:
        server.should_exit = True

    # While uvicorn serves, it handles signals itself. Before, a signal prevents it from serving; afterwards it raises
    # the signal that ended it again, while the drain is in progress.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    async with application.router.lifespan_context(application):
        _tune_collector()
        if not server.should_exit:
            await server.serve(sockets)


def server_config(application: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the application is served: its limits of connections, and the headers of every response."""
    return uvicorn.Config(
        application,
        http=http_protocol(limits(settings)),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_HTTP_GRACE,
        server_header=False,
        headers=[*HEADERS],
        # uvicorn would trust X-Forwarded-For for the address of the client.
        proxy_headers=False,
    )


def _greet(settings: Settings, sockets: list[socket.socket]) -> None:
    """Announce the URL of the service once it answers."""
    host = settings.host.strip("[]")
    shown = f"[{host}]" if ":" in host else host
    port = sockets[0].getsockname()[1]
    url = f"http://{shown}:{port}"
    sentence = f"Rota {VERSION}: {url}/docs"
    announce(settings, "service.started", sentence, err=True, version=VERSION, url=url)


class _Server(uvicorn.Server):
    """Calls `greet` once it accepts requests, and closes streams when it stops: they never end by themselves."""

    def __init__(
        self, config: uvicorn.Config, application: FastAPI, greet: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._application = application
        self._greet = greet

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._greet()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.state.services.streams.close()
        await super().shutdown(sockets)


def _tune_collector() -> None:
    """A batch creates thousands of short-lived objects; a collection after every 700 takes a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _is_bound_to_loopback(settings: Settings) -> bool:
    """Return whether the service may listen on loopback only: it has no key. Exit if it is to listen elsewhere.

    `listen` checks again, since a name may resolve to another address by then.
    """
    if settings.api_key:
        return False
    try:
        check_loopback(settings.host, settings.port)
    except AppError as error:
        if _has_administrator(settings, error.detail):
            return False
        raise refusal(error.detail) from None
    return True


def _has_administrator(settings: Settings, otherwise: str) -> bool:
    """Return whether there is a stored key with which the others can be made; exit if that cannot be read."""
    try:
        if not exists(parse_url(settings.database_url)):
            return False
        with database_of(settings) as database, database.read() as connection:
            return has_administrators(connection, SystemClock().now())
    except AppError as error:
        raise refusal(f"{otherwise} Stored keys cannot be read: {error.detail}") from None


def _warn_of_unknown_variables() -> None:
    for name, nearest in unknown_variables(os.environ).items():
        meant = {} if nearest is None else {"did_you_mean": nearest}
        log.warning("setting.unknown", variable=name, **meant)
