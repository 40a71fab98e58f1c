"""The URL of the database, and the servers in it."""

from itertools import cycle

from psycopg.pq import Conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from rota.errors import Invalid

_POSTGRES_PORT = 5432


def parse_url(url: str) -> URL:
    """Return the parsed URL of the database; raises Invalid, with a correct example, for one that Rota cannot use."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Invalid(
            "ROTA_DATABASE_URL is not a database URL such as 'sqlite:///rota.db'."
        ) from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise Invalid(
            f"ROTA_DATABASE_URL names {parsed.drivername!r}; Rota runs on 'sqlite:///file.db' and "
            "'postgresql+psycopg://user:password@host/name'."
        )
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise Invalid(
            "ROTA_DATABASE_URL must name a file: tasks in memory would not survive a restart."
        )
    return parsed


def servers_of(url: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of the database, none if it is a file or a socket on a disk; raises Invalid.

    As libpq is given them, or takes them from its environment (the PostgreSQL manual, "Environment Variables").
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return []
    given = {each.keyword.decode(): (each.val or b"").decode() for each in Conninfo.get_defaults()}
    try:
        given |= parsed.get_dialect()().create_connect_args(parsed)[1]
    except ArgumentError:
        raise Invalid(
            "ROTA_DATABASE_URL has several hosts: give a port for each, or none."
        ) from None
    ports = str(given["port"]).split(",")  # one is for all hosts, and an empty one is the default
    found = []
    for hosts in (given["host"], given["hostaddr"]):
        for host, port in zip(hosts.split(","), cycle(ports), strict=False):
            if host and not host.startswith(("/", "@")):
                found.append((host.strip("[]"), int(port) if port.isdecimal() else _POSTGRES_PORT))
    return found
