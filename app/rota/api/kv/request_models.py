"""Request models of a task's kv."""

from typing import Any

from pydantic import ConfigDict, Field

from rota.api.http.request_model import RequestModel
from rota.domain.kv.operation_requests import OperationIn, Ttl


class KvIn(RequestModel):
    """A value to store."""

    value: Any = Field(description="Any JSON.", examples=[{"last_id": 8812}])
    ttl: Ttl = Field(None, description="How long it is kept; without it, for good.")


class KvTransactionIn(RequestModel):
    """Operations on the entries of one task: all are executed, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {"op": "check", "key": "cursor", "version": 7},
                        {"op": "set", "key": "cursor", "value": 8812},
                        {"op": "increment", "key": "seen", "by": 3},
                    ]
                }
            ]
        }
    )

    operations: list[OperationIn] = Field(min_length=1, max_length=1_000)
