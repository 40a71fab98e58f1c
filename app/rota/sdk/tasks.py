"""`ctx.tasks`: tasks that a run registers, in the commit of its success; `sync.py` has the half for `def` handlers."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from rota.domain.tasks.registration import TaskRegistration, read_registration
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.decorator import handler_of

Schedule = Mapping[str, Any] | BaseModel


class Tasks:
    """Registers tasks with the success of an `async` handler's run."""

    def __init__(self, draft: AttemptDraft) -> None:
        self._draft = draft

    async def register(
        self,
        *,
        name: str,
        handler: str | Callable[..., Any],
        schedule: Schedule,
        on_conflict: str = "update",
        **fields: Any,
    ) -> None:
        """Register a task when, and only when, this run succeeds; fields as in `POST /v1/tasks`, `input` among them.

        Raises ValueError, with a pointer to the fault, if the fields are invalid. Faults that only the database
        shows fail the attempt at its end, and none of its changes is kept: a name that is taken
        (`on_conflict="reject"`), a handler that no replica has, an input that the handler does not accept.
        """
        self._draft.register(declared(name, handler, schedule, on_conflict, fields))


def declared(
    name: str,
    handler: str | Callable[..., Any],
    schedule: Schedule,
    on_conflict: str,
    fields: Mapping[str, Any],
) -> TaskRegistration:
    """Return the registration; raises ValueError with a pointer to the fault."""
    own = {"name": name, "handler": _name_of(handler), "on_conflict": on_conflict}
    rule = dict(schedule) if isinstance(schedule, Mapping) else schedule
    return read_registration({**fields, **own, "schedule": rule})


def _name_of(handler: str | Callable[..., Any]) -> str:
    if isinstance(handler, str):
        return handler
    spec = handler_of(handler)
    if spec is None:
        raise ValueError("/handler: give the name of a handler, or a function with @handler")
    return spec.name
