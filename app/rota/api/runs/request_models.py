"""Request models of runs."""

from typing import Any

from pydantic import Field

from rota.api.http.request_model import RequestModel


class RerunIn(RequestModel):
    """How to run a finished run again."""

    input: Any = Field(
        None,
        description="Replaces the input of the run. Left out: the same input.",
        examples=[{"name": "Grace"}],
    )
