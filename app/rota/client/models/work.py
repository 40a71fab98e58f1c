"""What a worker leases."""

from datetime import datetime
from typing import Any, ClassVar

from rota.client.models.base import Model
from rota.client.models.runs import RunSummary


class LeasedRun(Model):
    """A run that the worker holds, and what its attempt needs."""

    schema_name: ClassVar[str] = "LeasedRunOut"

    run: RunSummary
    handler: str | None = None
    kv: dict[str, Any]
    kv_revision: int
    kv_truncated: bool
    traceparent: str | None
    token: str
    lease_expires_at: datetime


class Heartbeat(Model):
    """Until when the attempt goes on."""

    schema_name: ClassVar[str] = "HeartbeatOut"

    lease_expires_at: datetime
    cancel_requested: bool
