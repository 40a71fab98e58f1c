"""The base of all models of the client."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rota.client.errors import InvalidResponse


class Model(BaseModel):
    """A frozen model: times are aware datetimes, durations seconds; fields that it does not know are kept."""

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

    @classmethod
    def of(cls, document: Any) -> Self:
        """Return the model of what was returned; raises InvalidResponse if it is something else."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidResponse(
                f"What was returned is no {cls.schema_name}: {where}: {first['msg']}"
            ) from None
