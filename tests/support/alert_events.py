"""Events as alerts make them."""

from typing import Any

RUN = {
    "id": "019ac2f0-6a3c-7c4e-8b6e-2d0f3a1b4c5d",
    "status": "failed",
    "reason": "attempts_exhausted",
    "error": {
        "type": "http.status",
        "message": "500 from crm.example.com",
        "traceback": None,
        "response": {
            "status": 500,
            "headers": {},
            "body": '{"error": "column <foo> does not exist"}',
            "truncated": False,
            "url_path": "/jobs/nightly",
        },
    },
    "trigger": "schedule",
    "attempt": 3,
    "scheduled_for": "2026-11-29T02:00:00.000Z",
    "started_at": "2026-11-29T02:00:00.012Z",
    "finished_at": "2026-11-29T02:07:12.481Z",
    "lateness": 0.012,
    "duration": 432.469,
}
DATA: dict[str, Any] = {
    "kind": "failures",
    "task": "nightly",
    "task_id": "019ac2f0-0000-7000-8000-2d0f3a1b4c5d",
    "tags": ["crm", "team:billing"],
    "description": "Copies the contacts.",
    "message": "3 runs in a row have failed.",
    "since": "2026-11-27T02:07:12.481Z",
    "consecutive_failures": 3,
    "last_success_at": "2026-11-26T02:04:01.000Z",
    "run": RUN,
    "links": {
        "task": "https://rota.example.com/v1/tasks/nightly",
        "run": "https://rota.example.com/v1/runs/019ac2f0-6a3c-7c4e-8b6e-2d0f3a1b4c5d",
        "logs": "https://rota.example.com/v1/runs/019ac2f0-6a3c-7c4e-8b6e-2d0f3a1b4c5d/logs",
    },
}


def event(type: str = "alert.failing", **data: Any) -> dict[str, Any]:
    """Return an event, with some fields of its data replaced."""
    return {"type": type, "timestamp": "2026-11-29T02:07:12.481Z", "data": DATA | data}
