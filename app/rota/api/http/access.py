"""Who may call a route: the type of its parameter `caller` names the scope that the client needs.

A key that is limited to some task names gets a 404 for all others, whether or not there is such a task.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from rota.domain.access.principal import LOCAL, Principal
from rota.domain.access.scopes import Scope
from rota.errors import Forbidden, NotFound


def principal(request: Request) -> Principal:
    """Return the client of a request: an administrator of this machine, where no key is needed."""
    known: Principal | None = request.scope.get("rota.principal", LOCAL)
    return known or LOCAL


def is_known(request: Request) -> bool:
    """Return whether the client is authenticated, or needs no key."""
    return request.scope.get("rota.principal", LOCAL) is not None


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency: the client, if it has the scope and may use the task that the path names."""

    #: None: any key will do.
    scope: Scope | None

    async def __call__(self, request: Request) -> Principal:
        caller = principal(request)
        if self.scope is not None and not caller.may(self.scope):
            raise Forbidden(
                f"This key does not have the scope {self.scope}; it has {', '.join(sorted(caller.scopes)) or 'none'}."
            )
        if not caller.tasks.is_unlimited and request.url.path.startswith("/v1/tasks/"):
            check_task(caller, request.path_params.get("name"))
        return caller


def check_task(caller: Principal, name: str | None) -> None:
    """Raise NotFound if a key is limited to other tasks; None is no task."""
    if name is not None and not caller.tasks.covers(name):
        raise NotFound(f"There is no task {name!r} that this key may see.")


ReadsTasks = Annotated[Principal, Depends(Needs(Scope.TASKS_READ))]
WritesTasks = Annotated[Principal, Depends(Needs(Scope.TASKS_WRITE))]
ReadsRuns = Annotated[Principal, Depends(Needs(Scope.RUNS_READ))]
WritesRuns = Annotated[Principal, Depends(Needs(Scope.RUNS_WRITE))]
ReadsKv = Annotated[Principal, Depends(Needs(Scope.KV_READ))]
WritesKv = Annotated[Principal, Depends(Needs(Scope.KV_WRITE))]
KeepsSecrets = Annotated[Principal, Depends(Needs(Scope.SECRETS))]
SetsQueues = Annotated[Principal, Depends(Needs(Scope.QUEUES))]
Works = Annotated[Principal, Depends(Needs(Scope.WORK))]
Audits = Annotated[Principal, Depends(Needs(Scope.AUDIT))]
Anyone = Annotated[Principal, Depends(Needs(None))]
Administers = Annotated[Principal, Depends(Needs(Scope.ADMIN))]
