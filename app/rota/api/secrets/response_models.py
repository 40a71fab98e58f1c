"""Response models of secrets, and their views: never the value."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText, show_instant
from rota.domain.secrets.model import Secret, Source


class SecretOut(TypedDict):
    """A secret without its value."""

    name: Annotated[str, Field(examples=["crm"])]
    source: Annotated[
        Source,
        Field(
            description="`stored`: by `PUT`. `environment`: by `ROTA_SECRET_…`, which takes precedence over a stored "
            "one of the same name.",
            examples=["stored"],
        ),
    ]
    origins: Annotated[
        list[str],
        Field(
            description="The servers that it may be sent to.",
            examples=[["https://api.example.com"]],
        ),
    ]
    tasks: Annotated[
        list[str], Field(description="The tasks that may send it.", examples=[["billing-*"]])
    ]
    description: Annotated[str | None, Field(examples=["The key of our CRM"])]
    version: Annotated[
        int | None,
        Field(description="Rises with every change. Null: from the environment.", examples=[3]),
    ]
    previous_until: Annotated[
        InstantText | None,
        Field(description="Until when the value before the present one is valid as well."),
    ]
    rotated_at: Annotated[
        InstantText | None, Field(description="When the present value was given.")
    ]
    created_at: InstantText | None
    updated_at: InstantText | None
    updated_by: Annotated[str | None, Field(examples=["key:1"])]


class SecretsOut(TypedDict):
    """A page of secrets, by name."""

    items: list[SecretOut]
    next_cursor: str | None


def show_secret(secret: Secret) -> SecretOut:
    """Return a secret as it may be shown."""
    return {
        "name": secret.name,
        "source": secret.source,
        "origins": list(secret.origins),
        "tasks": list(secret.tasks),
        "description": secret.description,
        "version": secret.version,
        "previous_until": show_instant(secret.previous_until),
        "rotated_at": show_instant(secret.rotated_at),
        "created_at": show_instant(secret.created_at),
        "updated_at": show_instant(secret.updated_at),
        "updated_by": secret.updated_by,
    }
