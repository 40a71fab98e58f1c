"""Request models of bulk operations on runs."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from rota.api.http.request_model import RequestModel
from rota.domain.bulk.selector import RunSelector

MOST_CONCURRENT = 1_000


class BulkRunsIn(RequestModel):
    """The runs to apply the verb to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"selector": {"tags": ["billing"], "status": ["failed"]}, "dry_run": True}]
        }
    )

    selector: RunSelector
    dry_run: bool = Field(
        False,
        strict=True,
        description="Store a preview, and do nothing before it is confirmed (`POST /v1/bulk/{id}/confirm`).",
        examples=[True],
    )


class BulkRerunIn(BulkRunsIn):
    """The runs to run again, and how."""

    input: Any = Field(
        None,
        description="Replaces the input of each; without this field each has the input that it had.",
        examples=[{"kind": "daily"}],
    )
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=MOST_CONCURRENT)] | None = Field(
        None,
        description="How many of the runs that it makes are unfinished at a time; null: any number.",
        examples=[20],
    )
