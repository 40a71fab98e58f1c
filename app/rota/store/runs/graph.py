"""Lineage, as it is read: the neighbours of a run, and the graph around it."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, case, or_, select

from rota.db.tables import run, run_link, task
from rota.db.types import is_one_of
from rota.domain.access.names import NameLimit
from rota.domain.primitives.ids import Id
from rota.domain.runs.lineage import LinkedRun, LinkKind, Neighbours
from rota.domain.runs.model import Run
from rota.store.runs.reading import find_runs
from rota.store.task_names import covers

#: How many runs of a graph are returned, and how many neighbours of a run.
MOST_NODES, MOST_NEIGHBOURS = 1_000, 100


class GraphLink(NamedTuple):
    """A link between two runs of a graph."""

    fed_by: Id
    run: Id
    kind: LinkKind


class Graph(NamedTuple):
    """Runs and the links between them, the earliest fire time first; `is_complete`: there are no more runs."""

    runs: list[Run]
    links: list[GraphLink]
    is_complete: bool


def neighbours(connection: Connection, run_id: Id, visible: NameLimit) -> Neighbours:
    """Return the runs that a run has followed from, and those that followed, of tasks that the client may see."""
    return Neighbours(
        _linked(connection, run_link.c.fed_id, run_link.c.feeding_id, run_id, visible),
        _linked(connection, run_link.c.feeding_id, run_link.c.fed_id, run_id, visible),
    )


def _linked(
    connection: Connection, here: Any, there: Any, run_id: Id, visible: NameLimit
) -> tuple[LinkedRun, ...]:
    found = (
        _visible(select(run.c.id, task.c.name, run_link.c.kind), visible)
        .join(run_link, there == run.c.id)
        .where(here == run_id)
        .order_by(run.c.id)
        .limit(MOST_NEIGHBOURS)
    )
    rows = connection.execute(found)
    return tuple(LinkedRun(id, name, LinkKind(kind)) for id, name, kind in rows)


def _visible(columns: Select[Any], visible: NameLimit) -> Select[Any]:
    return (
        columns.select_from(run)
        .join(task, and_(task.c.id == run.c.task_id, task.c.deleted_at.is_(None)))
        .where(covers(visible, task.c.name))
    )


def graph_of(
    connection: Connection, run_id: Id, visible: NameLimit, most: int = MOST_NODES
) -> Graph:
    """Return the runs that are linked with a run, directly or by others; of more than `most` the nearest.

    What lies behind a run that the client may not see is not reached.
    """
    ids = list(connection.execute(_reached(visible).limit(most + 1), {"g_run": run_id}).scalars())
    shown = ids[:most]
    runs = sorted(
        find_runs(connection, shown).values(), key=lambda each: (each.scheduled_for, each.id)
    )
    return Graph(runs, _links(connection, shown), len(ids) <= most)


def _reached(visible: NameLimit) -> Select[Any]:
    """Return the statement for the ids of the runs that links lead to, from `g_run` on, each once."""
    start = select(run.c.id.label("id")).where(run.c.id == bindparam("g_run", type_=run.c.id.type))
    reached = start.cte("reached", recursive=True)
    ends = or_(run_link.c.fed_id == reached.c.id, run_link.c.feeding_id == reached.c.id)
    other = case(
        (run_link.c.fed_id == reached.c.id, run_link.c.feeding_id), else_=run_link.c.fed_id
    )
    following = (
        select(run.c.id)
        .select_from(reached)
        .join(run_link, ends)
        .join(run, run.c.id == other)
        .join(task, and_(task.c.id == run.c.task_id, task.c.deleted_at.is_(None)))
        .where(covers(visible, task.c.name))
    )
    # UNION, not UNION ALL: a run that was reached is not followed again.
    return select(reached.union(following).c.id)


def _links(connection: Connection, ids: list[Id]) -> list[GraphLink]:
    both = (is_one_of(run_link.c.fed_id, "g_fed"), is_one_of(run_link.c.feeding_id, "g_feeding"))
    found = (
        select(run_link.c.feeding_id, run_link.c.fed_id, run_link.c.kind)
        .where(*both)
        .order_by(run_link.c.fed_id, run_link.c.feeding_id)
        .limit(_MOST_LINKS)
    )
    rows = connection.execute(found, {"g_fed": ids, "g_feeding": ids})
    return [GraphLink(feeding, fed, LinkKind(kind)) for feeding, fed, kind in rows]


# A task may come after a hundred others.
_MOST_LINKS = 10_000
