"""What a registration declares, and its result."""

from dataclasses import dataclass
from datetime import datetime

from rota.domain.chains.fan_in import PredecessorUnavailable
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.json.unset import UNSET, Unset
from rota.domain.primitives.preconditions import Precondition
from rota.domain.tasks.definition import Applied, OnConflict, Registered
from rota.domain.tasks.registration import TaskRegistration
from rota.domain.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The task as it is after a registration, and what that did."""

    task: Task
    outcome: Registered
    #: The task as it was; None: there was none.
    before: Task | None = None
    applied: Applied = Applied.IMMEDIATELY
    differs: bool = False
    #: Predecessors that will not run by themselves.
    absent: tuple[PredecessorUnavailable, ...] = ()
    #: Warnings about the tasks that its rules name and that take no notifications.
    not_notified: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration(TaskRegistration):
    """A registration as a client, or a run, requests it.

    `expected` is what must exist, or must not: the task's id and generation. The seeds are written if they do not
    exist, whatever the registration does to the definition.
    """

    on_conflict: OnConflict = OnConflict.REJECT
    by: str = "local"
    expected: Precondition | None = None
    #: By `PUT`: the task is kept when it has ended.
    declared: bool = False
    #: Sets the next fire time once (a time), or takes that back (None).
    next_fire: datetime | Unset | None = UNSET
    limits: KvLimits = DEFAULT_LIMITS
    #: The trace context of the request.
    traceparent: str | None = None
