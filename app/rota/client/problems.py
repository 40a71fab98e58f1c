"""One class for each type of problem; the statuses 403, 409 and 422 have a class that is the base of the others."""

from typing import ClassVar

from rota.client.errors import BackPressure, ProblemError


class MalformedJson(ProblemError):
    """The body is not JSON."""

    slug: ClassVar[str | None] = "malformed-json"


class MalformedRequest(ProblemError):
    """The request cannot be read."""

    slug: ClassVar[str | None] = "malformed-request"


class RequestFailed(ProblemError):
    """The request failed; the detail says why."""

    slug: ClassVar[str | None] = "error"


class Unauthorized(ProblemError):
    """There is no API key, or none that is accepted."""

    slug: ClassVar[str | None] = "unauthorized"


class Forbidden(ProblemError):
    """The key does not have the scope that this needs."""

    slug: ClassVar[str | None] = "forbidden"


class ForeignOrigin(Forbidden):
    """Without an API key, pages of other sites may make no requests."""

    slug: ClassVar[str | None] = "foreign-origin"


class NotLocal(Forbidden):
    """Without an API key, only the machine of the service may make requests."""

    slug: ClassVar[str | None] = "not-local"


class NotFound(ProblemError):
    """There is no such task, run, entry or page; or not for this key."""

    slug: ClassVar[str | None] = "not-found"


class MethodNotAllowed(ProblemError):
    """The path does not have this method."""

    slug: ClassVar[str | None] = "method-not-allowed"


class RequestTimeout(ProblemError):
    """The request came too slowly."""

    slug: ClassVar[str | None] = "request-timeout"


class Conflict(ProblemError):
    """The present state does not allow it; also the base of all problems of the status 409."""

    slug: ClassVar[str | None] = "conflict"


class TaskExists(Conflict):
    """The name is taken; `members["task"]` shows by which task."""

    slug: ClassVar[str | None] = "task-exists"


class WrongStatus(Conflict):
    """The task or run has a status in which this is not possible."""

    slug: ClassVar[str | None] = "wrong-status"


class Unplannable(Conflict):
    """The stored schedule cannot be planned any more."""

    slug: ClassVar[str | None] = "unplannable"


class Overlap(Conflict):
    """The task skips on overlap and has an unfinished run, `members["run"]`."""

    slug: ClassVar[str | None] = "overlap"


class RunInUse(Conflict):
    """The run is finished, and something still needs it."""

    slug: ClassVar[str | None] = "run-in-use"


class OperationFailed(Conflict):
    """An operation of a kv transaction is not possible; nothing was written."""

    slug: ClassVar[str | None] = "operation-failed"


class KvConflict(OperationFailed):
    """An entry is not what it was when it was read: somebody else has written it. Nothing was written."""


class KvFull(Conflict):
    """The task has as many kv entries, or bytes in them, as it may."""

    slug: ClassVar[str | None] = "kv-full"


class HistoryTooShort(Conflict):
    """The history of the kv does not reach back so far."""

    slug: ClassVar[str | None] = "history-too-short"


class NoEncryptionKeys(Conflict):
    """Secrets are stored encrypted only, and the service has no ROTA_ENCRYPTION_KEYS."""

    slug: ClassVar[str | None] = "no-encryption-keys"


class SecretFromEnvironment(Conflict):
    """The secret is set by the environment of the service."""

    slug: ClassVar[str | None] = "secret-from-environment"


class SecretInUse(Conflict):
    """Targets of tasks refer to the secret."""

    slug: ClassVar[str | None] = "secret-in-use"


class CalendarInUse(Conflict):
    """Tasks leave out the days of the calendar."""

    slug: ClassVar[str | None] = "calendar-in-use"


class ExtraMissing(Conflict):
    """This needs a library that is not installed where the service runs."""

    slug: ClassVar[str | None] = "extra-missing"


class FirstKey(Conflict):
    """The first key is made by `rota key create`."""

    slug: ClassVar[str | None] = "first-key"


class Superseded(Conflict):
    """The attempt of this token has ended; nothing was stored."""

    slug: ClassVar[str | None] = "superseded"


class LeaseLost(Conflict):
    """The attempt has lost its lease."""

    slug: ClassVar[str | None] = "lease-lost"


class PreconditionFailed(ProblemError):
    """It was changed, or exists, in spite of If-Match or If-None-Match."""

    slug: ClassVar[str | None] = "precondition-failed"


class TooLarge(ProblemError):
    """The body or the value is over the limit that the detail names."""

    slug: ClassVar[str | None] = "too-large"


class UrlTooLong(ProblemError):
    """The URL is over the limit that the detail names."""

    slug: ClassVar[str | None] = "url-too-long"


class UnsupportedMediaType(ProblemError):
    """The body is of a type that is not accepted."""

    slug: ClassVar[str | None] = "unsupported-media-type"


class WrongHost(ProblemError):
    """Without an API key the service accepts loopback names only."""

    slug: ClassVar[str | None] = "wrong-host"


class Invalid(ProblemError):
    """The content is wrong, `errors` says where; also the base of all problems of the status 422."""

    slug: ClassVar[str | None] = "invalid"


class UnacceptableJson(Invalid):
    """JSON that Rota does not store."""

    slug: ClassVar[str | None] = "unacceptable-json"


class UnknownHandler(Invalid):
    """No handler has this name."""

    slug: ClassVar[str | None] = "unknown-handler"


class InvalidInput(Invalid):
    """The input does not fit the handler's JSON Schema."""

    slug: ClassVar[str | None] = "invalid-input"


class InvalidKey(Invalid):
    """The key of a kv entry is not possible, or not writable."""

    slug: ClassVar[str | None] = "invalid-key"


class KvSchemaViolated(Invalid):
    """A value does not fit the `kv_schema` of the task; nothing was written."""

    slug: ClassVar[str | None] = "kv-schema"


class UnusableSecret(Invalid):
    """The target refers to a named secret that it cannot have."""

    slug: ClassVar[str | None] = "unusable-secret"


class InvalidHeader(Invalid):
    """A header does not have the required form."""

    slug: ClassVar[str | None] = "invalid-header"


class InvalidCursor(Invalid):
    """The cursor is not one that this list returned."""

    slug: ClassVar[str | None] = "invalid-cursor"


class InvalidFilter(Invalid):
    """A filter has a value that nothing can have."""

    slug: ClassVar[str | None] = "invalid-filter"


class UnknownParameter(Invalid):
    """The query parameter is not known to the service."""

    slug: ClassVar[str | None] = "unknown-parameter"


class TimeInThePast(Invalid):
    """The time is in the past."""

    slug: ClassVar[str | None] = "time-in-the-past"


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used for another request."""

    slug: ClassVar[str | None] = "idempotency-key-reused"


class RateLimited(BackPressure):
    """The key makes more requests than its `rate` allows."""

    slug: ClassVar[str | None] = "rate-limited"


class QuotaExceeded(BackPressure):
    """The key has as many tasks, or unfinished runs, as it may; nothing was written."""

    slug: ClassVar[str | None] = "quota-exceeded"


class HeadersTooLarge(ProblemError):
    """The headers are too large."""

    slug: ClassVar[str | None] = "headers-too-large"


class InternalError(ProblemError):
    """A fault of Rota itself; report it with the `request_id`."""

    slug: ClassVar[str | None] = "internal"


class Unavailable(BackPressure):
    """The service is too busy, or its database does not respond."""

    slug: ClassVar[str | None] = "unavailable"


class Sealed(ProblemError):
    """A stored value is encrypted with a key that the service does not have."""

    slug: ClassVar[str | None] = "sealed"


class NotReady(BackPressure):
    """The service cannot serve at present."""

    slug: ClassVar[str | None] = "not-ready"
