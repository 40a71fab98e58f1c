"""The base of all request models: unknown members are refused."""

from pydantic import BaseModel, ConfigDict


class RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
