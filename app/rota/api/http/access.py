"""Who may call a route: the type of its parameter `caller` names the scope that the client needs.

A key that is limited to some task names gets a 404 for all others, whether or not there is such a task. It is the same
404 as for a name of its own that no task has.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant

from rota.domain.access.names import NameLimit
from rota.domain.access.principal import ANONYMOUS, LOCAL, Principal
from rota.domain.access.scopes import Scope
from rota.errors import Forbidden, NotFound
from rota.store.task_rows import missing_task

_OF_TASK = "/v1/tasks/{name}"


def principal(request: Request) -> Principal:
    """Return the client of a request: an administrator of this machine, where no key is needed."""
    known: Principal | None = request.scope.get("rota.principal", LOCAL)
    return known or LOCAL


def is_known(request: Request) -> bool:
    """Return whether the client is authenticated, or needs no key."""
    return request.scope.get("rota.principal", LOCAL) is not None


def sees_all(request: Request) -> bool:
    """Return whether the client is authenticated, or needs no key, and is not limited to some tasks."""
    return is_known(request) and principal(request).tasks.is_unlimited


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency: the client, if it has the scope and may use the task that the path names.

    `for_all_tasks`: what is returned is about all tasks, so that a key must not be limited to some of them.
    """

    #: None: any key will do.
    scope: Scope | None
    for_all_tasks: bool = False

    async def __call__(self, request: Request) -> Principal:
        return self.check(request)

    def check(self, request: Request) -> Principal:
        """Return the client; raises Forbidden without the scope, NotFound if the path names a task of others."""
        caller = principal(request)
        self.check_scope(caller)
        if not caller.tasks.is_unlimited:
            self._check_limit(caller, request)
        return caller

    def allows(self, caller: Principal) -> bool:
        """Return whether a client may call the route for a task that it may use."""
        has_scope = self.scope is None or caller.may(self.scope)
        return has_scope and (caller.tasks.is_unlimited or not self.for_all_tasks)

    def check_scope(self, caller: Principal) -> None:
        """Raise Forbidden if a client does not have the scope."""
        if self.scope is not None and not caller.may(self.scope):
            raise Forbidden(
                f"This key does not have the scope {self.scope}; it has {', '.join(sorted(caller.scopes)) or 'none'}."
            )

    def _check_limit(self, caller: Principal, request: Request) -> None:
        if self.for_all_tasks:
            raise Forbidden(
                "This is about all tasks, and this key is limited to some; use a key without a limit."
            )
        # The path of the route, not that of the request: a proxy may have put something before it.
        if request.scope["route"].path.startswith(_OF_TASK):
            check_task(caller, request.path_params["name"])


class NeedsIfKnown(Needs):
    """A dependency of a route that has public content: who has no key is let in, as ANONYMOUS."""

    def check(self, request: Request) -> Principal:
        """Return the client; of one that is known as `Needs` does."""
        return super().check(request) if is_known(request) else ANONYMOUS


def needs_of(dependant: Dependant) -> Needs | None:
    """Return who may call a route; None: it does not say, and everyone may."""
    calls = (each.call for each in dependant.dependencies)
    return next((call for call in calls if isinstance(call, Needs)), None)


def check_task(caller: Principal, name: str | None) -> None:
    """Raise NotFound if a key is limited to other tasks; None is no task."""
    if name is not None and not caller.tasks.covers(name):
        raise missing_task(name)


ReadsTasks = Annotated[Principal, Depends(Needs(Scope.TASKS_READ))]
WritesTasks = Annotated[Principal, Depends(Needs(Scope.TASKS_WRITE))]
ReadsRuns = Annotated[Principal, Depends(Needs(Scope.RUNS_READ))]
ReadsRunsOrIsAnonymous = Annotated[Principal, Depends(NeedsIfKnown(Scope.RUNS_READ))]
ReadsAllRuns = Annotated[Principal, Depends(Needs(Scope.RUNS_READ, for_all_tasks=True))]
WritesRuns = Annotated[Principal, Depends(Needs(Scope.RUNS_WRITE))]
ReadsKv = Annotated[Principal, Depends(Needs(Scope.KV_READ))]
WritesKv = Annotated[Principal, Depends(Needs(Scope.KV_WRITE))]
KeepsSecrets = Annotated[Principal, Depends(Needs(Scope.SECRETS))]
SetsCalendars = Annotated[Principal, Depends(Needs(Scope.TASKS_WRITE, for_all_tasks=True))]
SetsQueues = Annotated[Principal, Depends(Needs(Scope.QUEUES))]
Works = Annotated[Principal, Depends(Needs(Scope.WORK))]
Audits = Annotated[Principal, Depends(Needs(Scope.AUDIT))]
Anyone = Annotated[Principal, Depends(Needs(None))]
Administers = Annotated[Principal, Depends(Needs(Scope.ADMIN))]


def check_lease(caller: Principal, queue: str) -> None:
    """Raise NotFound if a key may not take runs from a queue."""
    _check_queue(caller.queues, queue)


def check_settings(caller: Principal, queue: str) -> None:
    """Raise NotFound if a key may not change the settings of a queue, which hold up the runs of all tasks in it.

    One that is limited to some tasks, and not to queues, may change those whose names begin as those of its tasks.
    """
    _check_queue(caller.tasks if caller.queues.is_unlimited else caller.queues, queue)


def _check_queue(limit: NameLimit, queue: str) -> None:
    if not limit.covers(queue):
        raise NotFound(f"There is no queue {queue!r} that this key may use.")
