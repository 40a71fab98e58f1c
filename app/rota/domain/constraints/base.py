"""What all constraints have: a name, and a deadline."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from rota.domain.primitives.times.durations import Duration

#: What a run waits for until its constraints have been evaluated; no constraint can have this name.
PENDING = "pending"


def is_none(value: Any) -> bool:
    """Return whether a field is left out."""
    return value is None


def _check_name(name: str) -> str:
    if name == PENDING:
        raise PydanticCustomError(
            "name",
            "'pending' represents constraints that have not been checked yet; choose another name",
        )
    return name


ConstraintName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$"),
    AfterValidator(_check_name),
]
NAME = "Shown in `waiting_on` as `constraint:<name>`; distinct within a task."
_DEADLINE = (
    "A run that has not started is skipped (`constraint_deadline`) if this is not met so long after its "
    "`scheduled_for`, or after it was made if that was later. Without it the run waits without end."
)


class BaseConstraint(BaseModel):
    """A constraint, whatever it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    deadline: Duration | None = Field(None, description=_DEADLINE, examples=["30m"])
