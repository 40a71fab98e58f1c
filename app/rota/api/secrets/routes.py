"""Named secrets: declare, read, list, rotate, remove."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rota.api.http.access import KeepsSecrets
from rota.api.http.audit_entries import of_row
from rota.api.http.etags import IfMatch, IfNoneMatch, etag, precondition
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.request_model import check_name
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.validation import refusal
from rota.api.problems.problem import describe
from rota.api.secrets.request_models import RotateIn, SecretIn
from rota.api.secrets.response_models import SecretOut, SecretsOut, show_secret
from rota.domain.access.named import NameKind, rule_of
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives.texts.english import and_list, plural
from rota.domain.secrets.model import Secret, Source
from rota.domain.secrets.names import SecretName, is_pattern_within
from rota.errors import Conflict, Fault
from rota.store.secrets.changes import PutSecret, RemoveSecret, RotateSecret
from rota.store.secrets.reading import find_secret, list_secrets
from rota.store.secrets.usage import Usage, tasks_with

_NAMED_IN_DETAIL = 3

routes: APIRouter = router("/v1/secrets", "secrets")


@routes.get("", response_model=SecretsOut, responses=describe())
def list_all(
    services: Served, caller: KeepsSecrets, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List secrets by name, without their values: those that are stored, and those of the environment."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = list_secrets(connection, position[0] if position else "", limit + 1, caller.tasks)
    page, following = paginate(found, limit, lambda secret: [secret.name])
    items = [show_secret(secret) for secret in page]
    return send(reply(200, SecretsOut(items=items, next_cursor=following)))


@routes.get("/{name}", response_model=SecretOut, responses=describe(404))
def read(services: Served, caller: KeepsSecrets, name: SecretName) -> Response:
    """Read what is known of a secret, without its value: nothing returns that."""
    with services.database.read() as connection:
        return _sent(find_secret(connection, name, caller.tasks))


@routes.put(
    "/{name}",
    response_model=SecretOut,
    responses=describe(
        "not-found",
        "no-encryption-keys",
        "secret-from-environment",
        "conflict",
        "precondition-failed",
        "sealed",
        also={201: {"model": SecretOut, "description": "It is new."}},
    ),
)
async def declare(
    request: Request,
    services: Served,
    caller: KeepsSecrets,
    name: SecretName,
    body: SecretIn,
    _match: IfMatch = None,
    _none_match: IfNoneMatch = None,
) -> Response:
    """Store a secret, encrypted, with the servers that it may be sent to and the tasks that may send it."""
    check_name(body.name, name, "secret")
    _check_tasks(caller, body)
    command = PutSecret(
        name=name,
        value=None if body.value is None else body.value.get_secret_value(),
        origins=body.origins,
        tasks=body.tasks,
        description=body.description,
        by=caller.label,
        expected=precondition(request),
        limit=caller.tasks,
    )
    logged = of_row(Action.SECRET_DECLARED, Kind.SECRET, name, command)
    secret, created = await services.writer.run(logged)
    return _sent(secret, 201 if created else 200)


@routes.post(
    "/{name}/rotate",
    response_model=SecretOut,
    responses=describe(
        "not-found",
        "no-encryption-keys",
        "secret-from-environment",
        "conflict",
        "precondition-failed",
        "sealed",
    ),
)
async def rotate(
    request: Request,
    services: Served,
    caller: KeepsSecrets,
    name: SecretName,
    body: RotateIn,
    _match: IfMatch = None,
) -> Response:
    """Give a secret its next value. For the overlap, signatures are made with both; the same value changes nothing."""
    command = RotateSecret(
        name=name,
        value=body.value.get_secret_value(),
        overlap=body.overlap,
        by=caller.label,
        expected=precondition(request),
        limit=caller.tasks,
    )
    logged = of_row(Action.SECRET_ROTATED, Kind.SECRET, name, command)
    return _sent(await services.writer.run(logged))


@routes.delete(
    "/{name}",
    status_code=204,
    response_class=Response,
    responses=describe(
        "not-found", "secret-in-use", "secret-from-environment", "conflict", "precondition-failed"
    ),
)
async def delete(
    request: Request,
    services: Served,
    caller: KeepsSecrets,
    name: SecretName,
    force: Annotated[  # noqa: FBT002  # a query parameter
        bool, Query(description="Remove it even if tasks refer to it: their runs will fail.")
    ] = False,
    _match: IfMatch = None,
) -> Response:
    """Remove a secret that no task refers to."""
    if not force:
        _check_unused(name, await services.computing.run(_usage, services, name, caller.tasks))
    command = RemoveSecret(name=name, expected=precondition(request), limit=caller.tasks)
    await services.writer.run(of_row(Action.SECRET_REMOVED, Kind.SECRET, name, command))
    return Response(status_code=204)


def _sent(secret: Secret, status: int = 200) -> Response:
    headers = {}
    if secret.id is not None and secret.version is not None:
        headers["etag"] = etag(secret.id, secret.version)
    return send(reply(status, show_secret(secret), headers))


def _check_tasks(caller: Principal, body: SecretIn) -> None:
    """Raise Invalid with the pointers of the tasks that a client may not give a secret to."""
    detail = f"{rule_of(caller.tasks, NameKind.TASK)}; say which tasks may send the secret"
    beyond = [
        Fault(f"/tasks/{place}" if "tasks" in body.model_fields_set else "/tasks", detail)
        for place, each in enumerate(body.tasks)
        if not is_pattern_within(each, caller.tasks)
    ]
    if beyond:
        raise refusal(beyond)


def _usage(services: Services, name: str, limit: NameLimit) -> Usage:
    with services.database.read() as connection:
        if find_secret(connection, name, limit).source is Source.ENVIRONMENT:
            return Usage((), 0)  # a stored one of its name is not what tasks refer to
        return tasks_with(connection, name, limit)


def _check_unused(name: str, usage: Usage) -> None:
    if not usage.count:
        return
    named = [repr(task) for task in usage.tasks[:_NAMED_IN_DETAIL]]
    more = usage.count - len(named)
    verb = "refers" if usage.count == 1 else "refer"
    listed = and_list([*named, f"{more:,} more"] if more else named)
    raise Conflict(
        f"{plural(usage.count, 'task')} {verb} to the secret {name!r}: {listed}. Change "
        f"{'it' if usage.count == 1 else 'them'} first, or remove the secret with ?force=true.",
        slug="secret-in-use",
        present={"tasks": list(usage.tasks), "count": usage.count},
    )
