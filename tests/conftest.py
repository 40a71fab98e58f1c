"""What every test may ask for."""

import logging

import pytest
import structlog

pytest_plugins = ["tests.databases"]


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
