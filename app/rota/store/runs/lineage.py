"""Lineage, as it is written: links from a run to those that have led to it, and the chain that it continues."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, func, insert, select

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import run, run_link
from rota.domain.primitives.ids import Id
from rota.store.runs.new_run import NewRun

_INSERT = Bulk(insert(run_link), [column.name for column in run_link.columns], apart=True)


def insert_links(tx: Transaction, made: Sequence[NewRun]) -> None:
    """Insert what new runs have followed from; no statement for those that follow from none."""
    rows = [
        {"fed_id": each.id, "feeding_id": link.run_id, "kind": link.kind}
        for each in made
        for link in dict.fromkeys(each.fed_by)
    ]
    _INSERT.execute(tx.connection, rows)


def continue_chains(connection: Connection, made: Sequence[NewRun]) -> None:
    """Let new runs be part of the chain of what they have followed from; of what is gone they begin one."""
    following = [each for each in made if each.fed_by]
    chains = chains_of(connection, {each.fed_by[0].run_id for each in following})
    for each in following:
        each.chain_id = chains.get(each.fed_by[0].run_id)


def chains_of(connection: Connection, ids: Collection[Id]) -> Mapping[Id, Id]:
    """Return the chains of runs, by their ids; without those that are gone."""
    if not ids:
        return {}
    chain = func.coalesce(run.c.chain_id, run.c.id)
    rows = connection.execute(select(run.c.id, chain.label("chain")).where(run.c.id.in_(ids)))
    return {row.id: row.chain for row in rows}
