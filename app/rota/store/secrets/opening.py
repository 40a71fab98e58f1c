"""The secrets of claimed runs in plain: read only if a target refers to some, so that no other claim pays for it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, select

from rota.db.encryption import environment_secrets
from rota.db.tables import secret
from rota.domain.runs.model import ClaimedRun
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Sealed
from rota.store.sealing.named_secrets import Row, open_secret, read_list


def with_secrets(connection: Connection, runs: list[ClaimedRun], now: datetime) -> list[ClaimedRun]:
    """Return claimed runs with the secrets that their targets refer to.

    One that does not exist is missing there, and one that does not open has a `fault`: the attempt fails and says so.
    """
    named = [
        () if (target := run.definition.target) is None else target.secret_names for run in runs
    ]
    if not any(named):
        return runs
    opened = _opened(connection, {name for names in named for name in names}, now)
    return [
        replace(run, secrets=_of(names, opened)) if names else run
        for run, names in zip(runs, named, strict=True)
    ]


def _of(names: Sequence[str], opened: dict[str, OpenedSecret]) -> tuple[OpenedSecret, ...]:
    return tuple(opened[name] for name in names if name in opened)


def _opened(connection: Connection, names: Iterable[str], now: datetime) -> dict[str, OpenedSecret]:
    given = environment_secrets(connection)
    found = {name: given[name] for name in names if name in given}
    stored = [name for name in names if name not in found]
    if stored:
        rows = connection.execute(select(secret).where(secret.c.name.in_(stored)))
        found |= {row["name"]: _open(connection, row, now) for row in rows.mappings().all()}
    return found


def _open(connection: Connection, row: Row, now: datetime) -> OpenedSecret:
    try:
        return open_secret(connection, row, now)
    except Sealed as error:
        origins, tasks = read_list(row["origins"]), read_list(row["tasks"])
        return OpenedSecret(row["name"], "", origins=origins, tasks=tasks, fault=error.detail)
