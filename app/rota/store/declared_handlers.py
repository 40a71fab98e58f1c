"""Handlers that are declared for workers outside: their runs are leased, no replica claims them."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import handler, run, task
from rota.errors import Conflict, NotFound
from rota.store.handlers import HandlerInfo, find_handler, to_row
from rota.store.replicas import OUTSIDE, served_handlers
from rota.store.runs.waiting import WAITING_ON_HANDLER, unblock


@dataclass(frozen=True, slots=True)
class DeclareHandler(Command[tuple[HandlerInfo, bool]]):
    """Declare a handler for workers outside; return it, and whether there was none.

    Raises Conflict for the name of a handler that a replica serves, or that one brought and tasks still name.
    """

    info: HandlerInfo

    def apply(self, tx: Transaction) -> tuple[HandlerInfo, bool]:
        _lock(tx, self.info.name)
        present = find_handler(tx.connection, self.info.name)
        _check_free(tx, self.info.name, present)
        row = to_row(self.info, tx.now)
        if present is None:
            tx.connection.execute(insert(handler), row)
        elif replace(present, updated_at=None) != self.info:
            tx.connection.execute(
                update(handler).where(handler.c.name == self.info.name).values(row)
            )
        unblock(tx, run.c.handler == self.info.name, run.c.waiting_on == WAITING_ON_HANDLER)
        return existing_handler(tx.connection, self.info.name), present is None


@dataclass(frozen=True, slots=True)
class RemoveHandler(Command[None]):
    """Remove a declared handler. Raises NotFound, and Conflict while tasks name it, or if a replica brought it."""

    name: str

    def apply(self, tx: Transaction) -> None:
        _lock(tx, self.name)
        if not existing_handler(tx.connection, self.name).is_outside:
            raise Conflict(
                f"The handler {self.name!r} was not declared: replicas bring it with their code."
            )
        unused = ~exists().where(task.c.handler == handler.c.name)
        removed = tx.connection.execute(delete(handler).where(handler.c.name == self.name, unused))
        if removed.rowcount != 1:
            raise Conflict(
                f"{_users(tx.connection, self.name)} the handler {self.name!r}: delete them, or give them another one.",
            )


def not_leasable(connection: Connection, names: tuple[str, ...]) -> frozenset[str]:
    """Return those of the names that are not handlers for workers outside."""
    declared = select(handler.c.name).where(
        handler.c.name.in_(names), handler.c.isolation == OUTSIDE
    )
    return frozenset(names) - set(connection.execute(declared).scalars())


def _check_free(tx: Transaction, name: str, present: HandlerInfo | None) -> None:
    if name in served_handlers(tx.connection):
        raise Conflict(
            f"A replica serves the handler {name!r} itself; declare another name for workers outside."
        )
    if present is None or present.is_outside:
        return
    if _is_named(tx.connection, name):
        # Their inputs were meant for the code that a replica brought, which may come back.
        raise Conflict(
            f"{_users(tx.connection, name)} the handler {name!r} that a replica brought: "
            "declare another name, and give it to the tasks."
        )


def _lock(tx: Transaction, name: str) -> None:
    """Lock the row: a registration that names it, which locks it for its foreign key, comes before or after."""
    tx.connection.execute(select(handler.c.name).where(handler.c.name == name).with_for_update())


def _is_named(connection: Connection, name: str) -> bool:
    return bool(connection.execute(select(exists().where(task.c.handler == name))).scalar_one())


def _users(connection: Connection, name: str) -> str:
    """Return how many tasks name a handler; deleted ones count for as long as their rows are there."""
    number = connection.execute(select(func.count()).where(task.c.handler == name)).scalar_one()
    return "1 task names" if number == 1 else f"{number:,} tasks name"


def existing_handler(connection: Connection, name: str) -> HandlerInfo:
    """Return the handler called `name`; raises NotFound."""
    found = find_handler(connection, name)
    if found is None:
        raise NotFound(f"There is no handler {name!r}.")
    return found
