"""The definition of a task from options of the command line."""

from collections.abc import Mapping
from typing import Any

from rota.cli.exits import CommandFailed

_ONE = "Give one of --cron, --every, --at, --delay, --after or --manual."


def schedule(
    *,
    cron: str | None,
    every: str | None,
    at: str | None,
    delay: str | None,
    after: list[str] | None,
    manual: bool,
    timezone: str | None,
) -> dict[str, Any] | None:
    """Return the schedule that options give, or None if they give none. Raises CommandFailed for several."""
    found = [
        each
        for each in (
            cron and {"type": "cron", "expression": cron},
            every and {"type": "interval", "every": every},
            at and {"type": "once", "at": at},
            delay and {"type": "once", "delay": delay},
            after and {"type": "after", "tasks": after},
            manual and {"type": "manual"},
        )
        if each
    ]
    if len(found) > 1:
        raise CommandFailed(_ONE)
    if not found:
        return None
    return {**found[0], **({"timezone": timezone} if timezone else {})}


def with_options(base: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition in which options replace fields of a file. Raises CommandFailed for what must be given."""
    body = dict(base) | {name: value for name, value in options.items() if value is not None}
    if not body.get("name"):
        raise CommandFailed("Give the task a name.")
    if "handler" not in body:
        if "target" not in body:
            raise CommandFailed("Give --handler, or --url for a call over HTTP.")
        body["handler"] = "http"
    if "schedule" not in body:
        raise CommandFailed(_ONE)
    return body


def target(url: str | None, method: str | None) -> dict[str, Any] | None:
    """Return the target of a call over HTTP. Raises CommandFailed for a method without an address."""
    if url is None:
        if method is not None:
            raise CommandFailed("--method goes with --url.")
        return None
    return {"url": url, **({"method": method.upper()} if method else {})}
