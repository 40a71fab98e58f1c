"""Who made a change, as the audit log has it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The client of a request, where it came from, and which request it was."""

    #: The label of the principal.
    principal: str
    key_id: str | None = None
    address: str | None = None
    request_id: str
