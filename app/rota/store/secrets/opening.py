"""The secrets of claimed runs in plain: read only if a target, or the input of a notifier, refers to some.

No other claim pays for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, select

from rota.db.encryption import environment_secrets
from rota.db.tables import secret
from rota.domain.alerts.notifiers import secret_names_of
from rota.domain.runs.model import ClaimedRun
from rota.domain.secrets.opened import OpenedSecret
from rota.errors import Sealed
from rota.store.sealing.named_secrets import Row, open_secret, read_list


def with_secrets(connection: Connection, runs: list[ClaimedRun], now: datetime) -> list[ClaimedRun]:
    """Return claimed runs, whose inputs are open, with the secrets that their targets and notifiers refer to.

    One that does not exist is missing there, and one that does not open has a `fault`: the attempt fails and says so.
    """
    named = [_names_in(run) for run in runs]
    if not any(named):
        return runs
    opened = _opened(connection, {name for names in named for name in names}, now)
    return [
        replace(run, secrets=_of(names, opened)) if names else run
        for run, names in zip(runs, named, strict=True)
    ]


def _names_in(run: ClaimedRun) -> tuple[str, ...]:
    target = run.definition.target
    return secret_names_of(run.handler, run.input) if target is None else target.secret_names


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
