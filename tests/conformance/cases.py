"""The cases as data: what stands in the YAML files, checked when they are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FOLDER = Path(__file__).with_name("cases")

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Cut = Literal["before", "after", "within"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WireRequest(_Part):
    """What must be seen of a request: the query and the body have no other fields, headers may have."""

    method: Method
    path: str
    query: dict[str, Any] = Field(default_factory=dict)
    headers: dict[str, Any] = Field(default_factory=dict)
    body: Any = "<any>"


class Reply(_Part):
    """A reply that the proxy makes up: the service does not see the request."""

    status: int
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None


class Exchange(_Part):
    """One request of the client, and where its reply comes from: the service, unless a fault says otherwise."""

    request: WireRequest
    answered: int | None = None  # the status with which the service must have replied
    reply: Reply | None = None
    cut: Cut | None = None
    cut_after_events: int | None = None
    add: dict[str, Any] | None = None
    waited: float = 0  # seconds that the client lets pass after the reply before

    @model_validator(mode="after")
    def _one_fault(self) -> Self:
        faults = (self.reply, self.cut, self.cut_after_events, self.add)
        if sum(fault is not None for fault in faults) > 1:
            raise ValueError("an exchange has one fault at most")
        return self


class ServiceStep(_Part):
    """A request by the runner itself, past the proxy: it prepares, or looks at what is stored."""

    service: WireRequest
    status: int | None = None  # any of success, if left out
    reply: Any = "<any>"


class EventPosition(_Part):
    """Keep the present position in the stream of events."""

    position: str


class ClientStep(_Part):
    """An operation of the client: what is seen on the wire, and what it returns or how it fails."""

    client: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    wire: tuple[Exchange, ...] | None = None  # left out: it is not looked at
    besides: tuple[WireRequest, ...] = ()  # may be sent, at any time and any number of times
    returns: Any = "<any>"
    fails: Any = None


Step = ServiceStep | EventPosition | ClientStep


class Case(_Part):
    """One story, with a task name of its own in `$task`."""

    name: str
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class CaseFile(_Part):
    about: str
    cases: tuple[Case, ...]


def read_cases() -> Iterator[tuple[str, Case]]:
    """Return the cases of all files, each with the name of its file."""
    for path in sorted(FOLDER.glob("*.yaml")):
        file = CaseFile.model_validate(yaml.safe_load(path.read_text()))
        yield from ((path.stem, case) for case in file.cases)
