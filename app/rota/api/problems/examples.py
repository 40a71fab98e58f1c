"""An example of each type of problem, for the documentation."""

import re
from typing import Any

from rota.api.problems.types import PROBLEM_TYPES
from rota.errors import (
    Conflict,
    Invalid,
    MalformedJson,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    RateLimited,
    Sealed,
    TooLarge,
    Unavailable,
    Unplannable,
)

#: slug -> an example: its detail, the faults it points at, and the fields that show what exists.
_EXAMPLES: dict[str, dict[str, Any]] = {
    "malformed-json": {
        "detail": "The body is not JSON: Expecting value at line 1, column 13.",
    },
    "malformed-request": {"detail": "The body ended early."},
    "unauthorized": {"detail": "Send the header Authorization: Bearer <key>."},
    "forbidden": {"detail": "This key does not have the scope tasks:write; it has tasks:read."},
    "rate-limited": {
        "detail": "This key may make 5 requests a second of each replica. Try again after 1 s.",
    },
    "quota-exceeded": {
        "detail": "This key allows 500 tasks whose names begin with 'billing-' that are neither completed nor "
        "cancelled; there are 500, and this needs 1 more. Cancel or delete tasks that are not needed.",
        "present": {
            "quota": {"name": "max_tasks", "allowed": 500, "used": 500, "requested": 1},
        },
    },
    "not-local": {
        "detail": "Without an API key the service accepts requests from its own machine only, and this one came "
        "through a proxy (it has the header X-Forwarded-For). Set ROTA_API_KEY (for example to the output of: openssl "
        "rand -hex 24), or make a key with rota key create, and send it as Authorization: Bearer <key>."
    },
    "foreign-origin": {
        "detail": "Without an API key the service refuses requests from other sites' web pages. Set ROTA_API_KEY, or "
        "make a key with rota key create."
    },
    "not-found": {"detail": "There is no task 'greet'."},
    "conflict": {"detail": "Task 'greet' was changed concurrently; try again."},
    "task-exists": {
        "detail": "There is a task 'greet' already (generation 1, active). PUT it to update it, or choose another "
        "on_conflict.",
        "present": {"task": {"name": "greet", "status": "active", "generation": 1}},
    },
    "wrong-status": {
        "detail": "Task 'greet' is cancelled, so it cannot be paused; register it again to revive it.",
        "present": {"task": {"name": "greet", "status": "cancelled", "generation": 2}},
    },
    "unplannable": {
        "detail": "The stored schedule cannot be read: type: there is no type 'lunar'."
    },
    "overlap": {
        "detail": "Task 'greet' skips on overlap, and its run 01a20bd8-3c05-7058-ab7c-c61199886531 is running.",
        "present": {"run": {"id": "01a20bd8-3c05-7058-ab7c-c61199886531", "status": "running"}},
    },
    "run-in-use": {
        "detail": "Task 'report' takes its result once its other predecessors have run; delete it after that."
    },
    "operation-failed": {
        "detail": "Operation 0 (check) on 'cursor' is not possible: it has version 8. Nothing was written.",
        "errors": [{"pointer": "/operations/0", "detail": "it has version 8"}],
        "present": {"key": "cursor", "version": 8},
    },
    "superseded": {
        "detail": "Attempt 1 ended as timed_out, and its run is running; nothing was stored.",
        "present": {
            "run": {
                "id": "01a20bd8-3c05-7058-ab7c-c61199886531",
                "task": "greet",
                "status": "running",
                "reason": None,
                "attempt": 2,
            },
            "attempt": {
                "attempt": 1,
                "outcome": "timed_out",
                "counted": True,
                "started_at": "2026-11-25T08:00:00.000Z",
                "finished_at": "2026-11-25T08:05:00.000Z",
                "error": None,
            },
        },
    },
    "kv-full": {
        "detail": "It does not fit: the task would have 10001 entries; the limit is 10000."
    },
    "history-too-short": {
        "detail": "The history does not reach back to revision 7: it is not known any more what was under 'cursor'.",
        "present": {"missing": ["cursor"], "known_from": 12},
    },
    "no-encryption-keys": {
        "detail": "Secrets are stored encrypted, and ROTA_ENCRYPTION_KEYS is not set. Set it (for example to k1: and "
        "the output of: openssl rand -base64 32), or give the secret as ROTA_SECRET_CRM and ROTA_SECRET_CRM_ORIGINS."
    },
    "secret-from-environment": {
        "detail": "The secret 'crm' comes from the environment of the service (ROTA_SECRET_…). Change it there."
    },
    "secret-in-use": {
        "detail": "1 task refers to the secret 'crm': 'sync-contacts'. Change it first, or remove the secret with "
        "?force=true.",
        "present": {"tasks": ["sync-contacts"], "count": 1},
    },
    "calendar-in-use": {
        "detail": "2 tasks use the calendar 'holidays-berlin': 'digest' and 'invoices'. Take it out of their "
        "'exclude' first.",
        "present": {"tasks": ["digest", "invoices"], "count": 2},
    },
    "extra-missing": {
        "detail": "This needs the library 'holidays', which is not installed where the service runs: install it with "
        "pip install 'rota[calendars]' (the Docker image has it), or give the days as 'dates'."
    },
    "first-key": {
        "detail": "Nothing needs a key here yet, and everything would once there is one. Make the first one with "
        "`rota key create --name NAME --scope admin` (with SQLite, while the service is stopped), or set ROTA_API_KEY."
    },
    "unusable-secret": {
        "detail": "/target/headers/Authorization: the secret 'crm' may be sent to https://api.example.com, not to "
        "https://evil.example.",
        "errors": [
            {
                "pointer": "/target/headers/Authorization",
                "detail": "the secret 'crm' may be sent to https://api.example.com, not to https://evil.example",
            }
        ],
    },
    "precondition-failed": {
        "detail": "Task 'greet' is not as you read it.",
        "present": {"task": {"name": "greet", "status": "active", "generation": 2}},
    },
    "too-large": {"detail": "The body is larger than the limit of 1048576 bytes."},
    "request-timeout": {"detail": "The request line and the headers have not come within 10 s."},
    "url-too-long": {"detail": "The URL is longer than the limit of 8192 bytes."},
    "headers-too-large": {
        "detail": "There are more than 100 headers, or more than 65536 bytes of them and of the request line."
    },
    "unsupported-media-type": {
        "detail": "Send the body as JSON, with the header Content-Type: application/json."
    },
    "wrong-host": {
        "detail": "Without an API key the service accepts localhost, 127.0.0.1 and [::1] as host only. Set "
        "ROTA_API_KEY, or make a key with rota key create, to serve other names."
    },
    "invalid": {
        "detail": "/schedule/every: this field is required.",
        "errors": [{"pointer": "/schedule/every", "detail": "this field is required"}],
    },
    "invalid-parameter": {
        "detail": "limit: give at most 200.",
        "errors": [{"parameter": "limit", "detail": "give at most 200"}],
    },
    "unacceptable-json": {
        "detail": "/input/a: the key 'a' is given twice.",
        "errors": [{"pointer": "/input/a", "detail": "the key 'a' is given twice"}],
    },
    "unknown-handler": {
        "detail": "/handler: no handler is called 'helo'; there are: hello, http; did you mean 'hello'?",
        "errors": [
            {
                "pointer": "/handler",
                "detail": "no handler is called 'helo'; there are: hello, http; did you mean 'hello'?",
            }
        ],
    },
    "invalid-input": {
        "detail": '/input/name: 5 is not of type "string".',
        "errors": [{"pointer": "/input/name", "detail": '5 is not of type "string"'}],
    },
    "invalid-key": {"detail": "'revert' is reserved."},
    "kv-schema": {
        "detail": "/value: the value of 'cursor' does not fit the task's kv_schema: the value is not of type "
        '"integer". Nothing was written.',
        "errors": [{"pointer": "/value", "detail": 'the value is not of type "integer"'}],
    },
    "invalid-header": {
        "detail": "If-None-Match: give '*', or entity tags as ETag headers gave them, in double quotes.",
        "errors": [
            {
                "parameter": "If-None-Match",
                "detail": "give '*', or entity tags as ETag headers gave them, in double quotes",
            }
        ],
    },
    "invalid-cursor": {
        "detail": "cursor: this cursor is not one that this list returned; start again without it.",
        "errors": [
            {
                "parameter": "cursor",
                "detail": "this cursor is not one that this list returned; start again without it",
            }
        ],
    },
    "invalid-filter": {
        "detail": "status: 'activ' is none of active, cancelled, completed, paused; did you mean 'active'?",
        "errors": [
            {
                "parameter": "status",
                "detail": "'activ' is none of active, cancelled, completed, paused; did you mean 'active'?",
            }
        ],
    },
    "unknown-parameter": {
        "detail": "limt: this parameter is not known here; there are: cursor, limit; did you mean 'limit'?",
        "errors": [
            {
                "parameter": "limt",
                "detail": "this parameter is not known here; there are: cursor, limit; did you mean 'limit'?",
            }
        ],
    },
    "time-in-the-past": {
        "detail": "/schedule/at: 2026-11-25T08:00:00.000Z is long past (it is 2026-11-29T09:30:00.000Z); give a "
        "time ahead.",
        "errors": [
            {
                "pointer": "/schedule/at",
                "detail": "2026-11-25T08:00:00.000Z is long past (it is 2026-11-29T09:30:00.000Z); give a time ahead",
            }
        ],
    },
    "idempotency-key-reused": {
        "detail": "The Idempotency-Key 'a1' was used for another request; use a new one."
    },
    "unavailable": {"detail": "The database does not answer."},
    "sealed": {
        "detail": "A value is encrypted with the key 'k1', which ROTA_ENCRYPTION_KEYS does not have."
    },
    "not-ready": {"detail": "Not ready."},
}
_TITLES = {
    "malformed-json": MalformedJson.title,
    "malformed-request": "The request cannot be read",
    "unauthorized": "A key is needed",
    "not-local": "Not allowed",
    "foreign-origin": "Not allowed",
    "forbidden": "Not allowed",
    "request-timeout": "The request comes too slowly",
    "url-too-long": "The URL is too long",
    "headers-too-large": "The headers are too large",
    "unplannable": Unplannable.title,
    "quota-exceeded": QuotaExceeded.title,
    "unsupported-media-type": "The body is of a type that is not accepted here",
    "wrong-host": "Not the requested host",
    "sealed": Sealed.title,
}
_TITLES_BY_STATUS = {
    404: NotFound.title,
    409: Conflict.title,
    412: PreconditionFailed.title,
    413: TooLarge.title,
    422: Invalid.title,
    429: RateLimited.title,
    503: Unavailable.title,
}


def example(slug: str, *, has_body: bool = True) -> dict[str, Any]:
    """Return a problem document of a type, as the response to a request with or without a body."""
    status, _ = PROBLEM_TYPES[slug]
    shown = _EXAMPLES["invalid-parameter" if slug == "invalid" and not has_body else slug]
    return {
        **shown.get("present", {}),
        "type": f"/problems/{slug}",
        "title": title(slug),
        "status": status,
        "detail": shown["detail"],
        "errors": shown.get("errors", []),
        "request_id": "20f03cd886974a1aa83c92312434d932",
    }


def title(slug: str) -> str:
    """Return the title of a type of problem."""
    return _TITLES.get(slug) or _TITLES_BY_STATUS[PROBLEM_TYPES[slug][0]]


def meaning(slug: str) -> str:
    """Return what a type of problem means, in Markdown."""
    return re.sub("</?code>", "`", PROBLEM_TYPES[slug][1])
