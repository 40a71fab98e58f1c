"""Values and transactions on entries of a task's kv, as they come in over HTTP."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rota.domain.kv.operation_requests import OperationIn, Ttl


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KvIn(_In):
    """A value to keep."""

    value: Any = Field(description="Any JSON.", examples=[{"last_id": 8812}])
    ttl: Ttl = Field(None, description="How long it is kept; without it, for good.")


class KvTransactionIn(_In):
    """Operations on the entries of one task: all are carried out, or none."""

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
