"""The base of all models of the client."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen model: times are aware datetimes, durations seconds; members that it does not know are kept."""

    # A model is built when it is first used: a program that imports the client uses few of them.
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        defer_build=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    #: Its name in the OpenAPI document.
    schema_name: ClassVar[str]
