"""The base of request models, and checks that several of them share."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict

from rota.errors import Fault, Invalid


class RequestModel(BaseModel):
    """A body without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without(body: Any, fields: Collection[str]) -> Any:
    """Return a body without fields that only the service sets, so that a response can be sent back."""
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if key not in fields}


def check_name(given: str | None, name: str, kind: str) -> None:
    """Raise Invalid if a body gives another name than its path; `kind` is what the name is of."""
    if given not in {None, name}:
        detail = f"the path names the {kind} {name!r}"
        raise Invalid(f"/name: {detail}.", Fault("/name", detail))
