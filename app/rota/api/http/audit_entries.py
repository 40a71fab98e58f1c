"""The entries that routes leave in the audit log, in the commit of what they change."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rota.api.http.clients.calls import current_call
from rota.db.command import Command, R, Transaction
from rota.domain.audit.actions import Action, Kind
from rota.domain.runs.model import Run
from rota.store.audit.audited import Audited, Made, audited
from rota.store.audit.registrations import AuditedChange, registered
from rota.store.audit.subjects import Named, Subjects, Tasks
from rota.store.tasks.declaration import Registration
from rota.store.tasks.run_commands import Rerun


def logged(
    action: Action,
    command: Command[R],
    subjects: Subjects | None = None,
    *,
    changes_of: Callable[[Transaction, R], Iterable[AuditedChange]] | None = None,
    made: Callable[[R], Iterable[Made]] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Audited[R]:
    """Return a command that records, as done by the client of the present request, what changes of `subjects`.

    `changes_of`: what changed, by its result; else that is read. `made`: what is recorded of its result, for what was
    not there before.
    """
    return audited(
        command,
        author=current_call().author,
        action=action,
        subjects=subjects,
        changes_of=changes_of,
        made=made,
        details=details,
    )


def of_task(action: Action, name: str, command: Command[R]) -> Audited[R]:
    """Return a command that records what changes of a task."""
    return logged(action, command, Tasks((name,)))


def of_registration(
    action: Action, name: str, command: Command[Registration]
) -> Audited[Registration]:
    """Return a registration that records what it changes."""
    return logged(action, command, Tasks((name,)), changes_of=registered)


def of_row(action: Action, kind: Kind, name: str, command: Command[R]) -> Audited[R]:
    """Return a command that records what changes of a queue, a hold, a handler or a secret."""
    return logged(action, command, Named(kind, name))


def of_run(action: Action, command: Command[Run]) -> Audited[Run]:
    """Return a command that records the run that it returns."""
    return logged(action, command, made=_run)


def of_rerun(command: Rerun) -> Audited[Run]:
    """Return a repetition of a run that records the new run, and whether it has another input."""

    def made(run: Run) -> Iterable[Made]:
        for each in _run(run):
            after = {**each.after, "rerun_of": command.run_id}
            yield replace(each, after=after)

    details = {"input": "replaced"} if command.input is not None else None
    return logged(Action.RUN_REPEATED, command, made=made, details=details)


def _run(run: Run) -> Iterable[Made]:
    after = {"status": run.status, "trigger": run.trigger}
    yield Made(kind=Kind.RUN, name=run.id, task=run.task, after=after)
