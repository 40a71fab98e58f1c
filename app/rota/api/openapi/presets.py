"""Requests that the documentation page offers: all of them work right after the README, and most of them twice.

Those about what the README does not make say which request of the page makes it, and stand after that.

Requests that remove or stop something are dry runs, where the operation has them.
"""

from typing import Any

JSON = "application/json"
_RUN = {
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "once", "delay": "10s"},
}
_DECLARED = {
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "interval", "every": "15m"},
}
_WEEKDAYS = {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"}
_CRON = {"handler": "hello", "input": {"name": "Ada"}, "schedule": _WEEKDAYS}
_HTTP = {
    "handler": "http",
    "target": {
        "url": "https://app.example.com/jobs/digest",
        "kv": ["cursor"],
        "body": {"kind": "{{ input.kind }}", "since": "{{ kv.cursor | default(0) }}"},
    },
    "input": {"kind": "daily"},
    "schedule": _WEEKDAYS,
    "retry": {"max_attempts": 5},
    "tags": ["billing"],
}
_CHAIN = {
    "handler": "hello",
    "input": {"name": "Grace"},
    "schedule": {"type": "after", "tasks": ["greet"], "on": ["succeeded"]},
}
_POLLER = {
    "handler": "http",
    "target": {
        "method": "GET",
        "url": "https://app.example.com/orders",
        "query": {"after": "{{ kv.cursor | default(0) }}"},
        "kv": ["cursor"],
        "kv_set": {"cursor": "{{ result.body.next }}"},
    },
    "schedule": {"type": "interval", "every": "5m"},
    "expect_every": "1h",
}
_REMINDER = {
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "once", "at": "2090-12-24T09:00", "timezone": "Europe/Berlin"},
    "tags": ["customer:c7"],
}
_SELECTED = {"selector": {"name_prefix": "greet"}}
_FAILED = {"selector": {"task": ["greet"], "status": ["failed"]}}
_HOUR = {"from": "2026-11-01T08:00:00Z", "to": "2026-11-01T09:00:00Z"}

#: (method, path) -> media type -> summary -> body.
PRESETS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/v1/tasks"): {
        JSON: {
            "once: greet Ada in ten seconds": _RUN,
            "cron: at nine every weekday in Berlin": _CRON,
            "http with state: an endpoint that is told how far it came": _HTTP,
            "chain: whenever greet has succeeded": _CHAIN,
            "poller: what is new at an API, every five minutes": _POLLER,
            "reminder: at a local time, for one customer": _REMINDER,
        }
    },
    ("put", "/v1/tasks/{name}"): {
        JSON: {
            "greet Ada every quarter of an hour": _DECLARED,
            "call an endpoint at nine every weekday": _HTTP,
        }
    },
    ("patch", "/v1/tasks/{name}"): {
        JSON: {
            "another input and priority": {"input": {"name": "Grace"}, "priority": 5},
            "another schedule": {"schedule": {"type": "cron", "expression": "0 9 * * 1-5"}},
        }
    },
    ("put", "/v1/calendars/{name}"): {
        JSON: {
            "days on which the office is closed": {"dates": ["2026-12-24", "2026-12-31"]},
            "the holidays of Berlin": {"holidays": {"country": "DE", "subdivision": "BE"}},
        }
    },
    ("post", "/v1/tasks/batch"): {JSON: {"two tasks": {"items": [_RUN, _HTTP]}}},
    ("post", "/v1/tasks/{name}/pause"): {
        JSON: {"with a reason": {"reason": "the API is being moved"}}
    },
    ("post", "/v1/tasks/{name}/resume"): {JSON: {"leave out what passed": {"catch_up": "none"}}},
    ("post", "/v1/tasks/{name}/run"): {
        JSON: {"with its own input": {}, "with another input": {"input": {"name": "Grace"}}}
    },
    ("post", "/v1/tasks/{name}/ping"): {
        JSON: {
            "it has succeeded": {"message": "412 files, 3.1 GB", "duration": 93.5},
            "it has failed": {"status": "failed", "message": "disk full"},
        }
    },
    ("post", "/v1/tasks/{name}/backfill"): {
        JSON: {"see what an hour would run": {**_HOUR, "dry_run": True}}
    },
    ("post", "/v1/tasks/pause"): {
        JSON: {"see which": {**_SELECTED, "reason": "the API is being moved", "dry_run": True}}
    },
    ("post", "/v1/tasks/resume"): {
        JSON: {"see which": {**_SELECTED, "catch_up": "none", "dry_run": True}}
    },
    **{
        ("post", f"/v1/tasks/{verb}"): {JSON: {"see which": {**_SELECTED, "dry_run": True}}}
        for verb in ("cancel", "delete", "run")
    },
    **{
        ("post", f"/v1/runs/{verb}"): {JSON: {"see which": {**_FAILED, "dry_run": True}}}
        for verb in ("rerun", "cancel", "delete")
    },
    ("post", "/v1/schedules/preview"): {
        JSON: {
            "at nine every weekday in Berlin": {
                "schedule": {
                    "type": "cron",
                    "expression": "0 9 * * 1-5",
                    "timezone": "Europe/Berlin",
                },
                "count": 3,
            },
            "on the last day of the month": {
                "schedule": {"type": "calendar", "unit": "month", "day": "last", "time": "18:00"}
            },
        }
    },
    ("post", "/v1/runs/{id}/rerun"): {
        JSON: {"with the same input": {}, "with another input": {"input": {"name": "Grace"}}}
    },
    ("post", "/v1/runs/{id}/complete"): {
        JSON: {
            "a result, and a change of the kv": {
                "result": {"new": 3},
                "kv": [{"op": "set", "key": "cursor", "value": "8812"}],
            },
            "another attempt later": {"retry": {"after": 30, "reason": "rate limited"}},
            "no other attempt": {"fail": {"reason": "no such customer"}},
        }
    },
    ("post", "/v1/runs/{id}/heartbeat"): {
        JSON: {"with its progress": {"progress": 0.4, "message": "parsed 400 of 1000"}}
    },
    ("put", "/v1/queues/{name}"): {JSON: {"five at once": {"concurrency": 5, "paused": False}}},
    ("put", "/v1/holds/{name}"): {
        JSON: {
            "some tasks over Christmas": {
                "selector": {"name_prefix": "invoices-"},
                "from": "2090-12-24",
                "until": "2090-12-26",
                "timezone": "Europe/Berlin",
                "reason": "nobody is there",
            }
        }
    },
    ("post", "/v1/queues/{name}/lease"): {
        JSON: {"a run, if there is one": {"handlers": ["thumbnails"], "max": 1, "lease": 60}}
    },
    ("put", "/v1/secrets/{name}"): {
        JSON: {
            "for one server": {
                "value": "sk_live_51H8xyz",
                "origins": ["https://api.example.com"],
                "tasks": ["billing-*"],
                "description": "Calls of the CRM.",
            }
        }
    },
    ("post", "/v1/secrets/{name}/rotate"): {
        JSON: {"both for a day": {"value": "sk_live_73K2abc", "overlap": "24h"}}
    },
    ("post", "/v1/keys"): {
        JSON: {
            "to read what one team has": {
                "name": "dashboard of billing",
                "scopes": ["tasks:read", "runs:read"],
                "tasks": ["billing-"],
            },
            "for a worker": {"name": "thumbnails", "scopes": ["work"], "queues": ["mail"]},
        }
    },
    ("post", "/v1/keys/{id}/rotate"): {JSON: {"both secrets for a day": {"overlap": "24h"}}},
    ("put", "/v1/handlers/{name}"): {
        JSON: {
            "for workers outside": {
                "description": "Makes previews of uploads.",
                "input_schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string"}},
                },
                "timeout": "1m",
            }
        }
    },
    ("put", "/v1/tasks/{name}/kv/{key}"): {
        JSON: {"a value": {"value": {"last_id": 8812}}, "for an hour": {"value": 1, "ttl": "1h"}},
        "text/plain": {"bytes, as they are": "8812"},
    },
    ("post", "/v1/tasks/{name}/kv/transaction"): {
        JSON: {
            "several operations": {
                "operations": [
                    {"op": "set", "key": "cursor", "value": 8812},
                    {"op": "increment", "key": "seen", "by": 3},
                    {"op": "check", "key": "cursor", "value": 8812},
                ]
            }
        }
    },
    ("post", "/v1/tasks/{name}/kv/revert"): {
        JSON: {"see what would be done": {"revision": 1, "dry_run": True}}
    },
    # The page puts texts of a type with `json` in its name in quotes, so these are offered as plain text.
    ("post", "/v1/tasks/{name}/kv/import"): {
        "text/plain": {
            "two entries": '{"key": "cursor", "value": 8812}\n{"key": "seen", "value": 3, "expires_at": null}\n'
        }
    },
}

#: (path, parameter) -> initial value; none for ids, which each installation has of its own.
PARAMETERS: dict[tuple[str, str], str | bool] = {}
#: The same for `GET`, of what is there from the beginning: what is changed is better something of one's own.
READ: dict[tuple[str, str], str] = {
    ("/v1/queues/{name}", "name"): "default",
    ("/v1/handlers/{name}", "name"): "hello",
}
#: Of what can only be there once it was made: what makes it, by its own preset.
MADE_BY: dict[tuple[str, str], str] = {
    **{
        (method, path): path
        for path in ("/v1/calendars/{name}", "/v1/holds/{name}", "/v1/secrets/{name}")
        for method in ("get", "delete")
    },
    ("delete", "/v1/queues/{name}"): "/v1/queues/{name}",
    ("delete", "/v1/handlers/{name}"): "/v1/handlers/{name}",
    ("post", "/v1/secrets/{name}/rotate"): "/v1/secrets/{name}",
    ("post", "/v1/queues/{name}/lease"): "/v1/handlers/{name}",
}


def _fill_in(example: dict[str, str | bool], *paths: str) -> None:
    PARAMETERS.update({(path, name): value for path in paths for name, value in example.items()})


_TASK = "/v1/tasks/{name}"
_fill_in(
    {"name": "greet"},
    _TASK,
    *(
        f"{_TASK}/{verb}"
        for verb in (
            *("pause", "resume", "cancel", "run", "upcoming", "explain", "runs", "ping", "alerts"),
            *("stats", "badge.svg"),
        )
    ),
    *(
        f"{_TASK}/{rest}"
        for rest in ("backfill", "backfills", "backfills/{id}", "backfills/{id}/cancel")
    ),
    *(f"{_TASK}/kv{rest}" for rest in ("", "/transaction", "/revert", "/export", "/import")),
)
_fill_in({"prefix": "seen"}, f"{_TASK}/kv")
# The requests beside it are to be made; `true` is one click away.
_fill_in({"dry_run": False}, "/v1/tasks", "/v1/tasks/batch", _TASK)
_fill_in({"tag": "billing"}, "/v1/upcoming", "/v1/upcoming.ics", "/v1/upcoming/hours", "/v1/status")
_fill_in(
    {"name": "greet", "key": "greetings"}, f"{_TASK}/kv/{{key}}", f"{_TASK}/kv/{{key}}/history"
)
_fill_in({"name": "mail"}, "/v1/queues/{name}", "/v1/queues/{name}/lease")
_fill_in({"name": "thumbnails"}, "/v1/handlers/{name}")
_fill_in({"name": "christmas"}, "/v1/holds/{name}")
_fill_in({"name": "crm"}, "/v1/secrets/{name}", "/v1/secrets/{name}/rotate")
_fill_in({"name": "office"}, "/v1/calendars/{name}")
