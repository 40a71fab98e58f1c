"""The runs of one write of a bulk operation, as they are now: which of them the verb is executed for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select, true

from rota.db.expressions.byte_lengths import byte_length
from rota.db.tables import run, task
from rota.db.types import among
from rota.domain.bulk.model import Bulk, Item, ItemResult, Refusal, refusal
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus
from rota.store.bulk.selection import OF_TASK, Selected, conditions


class PresentRun(NamedTuple):
    """A run of an operation, as it is now."""

    id: Id
    task_id: Id
    task: str
    status: str
    trigger: str
    scheduled_for: datetime
    #: The bytes of its input, which is read by those who need it.
    input_size: int
    #: The chain that it is part of.
    chain_id: Id
    task_status: str
    #: Whether the selector still matches it.
    matches: bool


@dataclass(slots=True)
class Verdicts:
    """The results of the runs of one write, by their ids; and how many of them there was room for."""

    results: dict[Id, tuple[ItemResult, Refusal | None, Id | None]] = field(default_factory=dict)

    def done(self, run_id: Id, new_run_id: Id | None = None) -> None:
        self.results[run_id] = (ItemResult.DONE, None, new_run_id)

    def refuse(self, run_id: Id, why: Refusal) -> None:
        self.results[run_id] = (ItemResult.REFUSED, why, None)

    def changed(self, run_id: Id, detail: str) -> None:
        self.results[run_id] = (ItemResult.CHANGED, Refusal("", detail), None)

    def item(self, selected: Selected, name: str | None) -> Item:
        """Return the result of a run."""
        result, why, new_run_id = self.results[selected.run_id]
        return Item(
            position=selected.position,
            run_id=selected.run_id,
            task=name,
            result=result,
            problem=why.slug if why is not None and result is ItemResult.REFUSED else None,
            detail=None if why is None else why.detail,
            new_run_id=new_run_id,
        )


def task_ids(connection: Connection, selected: Sequence[Selected]) -> set[Id]:
    """Return the tasks of runs, as far as these are there."""
    of = select(run.c.task_id).where(among(run.c.id, [each.run_id for each in selected]))
    return set(connection.execute(of).scalars())


def read_runs(
    connection: Connection, of: Bulk, selected: Sequence[Selected]
) -> dict[Id, PresentRun]:
    """Return those of the runs that are there, by id."""
    matches = and_(true(), *conditions(of.request.selector, of.request.limit))
    wanted = (
        select(
            run.c.id,
            run.c.task_id,
            task.c.name,
            run.c.status,
            run.c.trigger,
            run.c.scheduled_for,
            byte_length(run.c.input),
            func.coalesce(run.c.chain_id, run.c.id),
            task.c.status,
            matches.label("matches"),
        )
        .join(task, OF_TASK)
        .where(among(run.c.id, [each.run_id for each in selected]))
    )
    return {row[0]: PresentRun._make(row) for row in connection.execute(wanted)}


def judge(
    of: Bulk, selected: Sequence[Selected], found: Mapping[Id, PresentRun], verdicts: Verdicts
) -> list[PresentRun]:
    """Return the runs that the verb is to be executed for, in order; the others get their verdicts."""
    accepted: list[PresentRun] = []
    for each in selected:
        present = found.get(each.run_id)
        if present is None:
            verdicts.changed(each.run_id, "It was removed.")
            continue
        status = RunStatus(present.status)
        if status.final != each.ended or not present.matches:
            verdicts.changed(each.run_id, f"It is {status} now, and is not what was selected.")
            continue
        why = refusal(of.request.verb, present.id, status, present.task, present.task_status)
        if why is None:
            accepted.append(present)
        else:
            verdicts.refuse(each.run_id, why)
    return accepted
