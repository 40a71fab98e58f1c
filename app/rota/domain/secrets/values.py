"""Values of secrets: what can be one."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr
from pydantic_core import PydanticCustomError

#: A shorter one would be found, and taken out, all over the replies of targets.
SHORTEST = 8
LONGEST = 16_384


def value_fault(value: str) -> str | None:
    """Return why a text cannot be the value of a secret, without quoting it; None if it can."""
    if not SHORTEST <= len(value) <= LONGEST:
        return f"give {SHORTEST} to {LONGEST:,} characters, not {len(value):,}"
    if value != value.strip():
        return "it begins or ends with white space or a line break, which is rarely part of a secret; leave that out"
    if not value.isprintable():
        return "it has a line break or another control character; give it on one line (a file as base64)"
    return None


def _check(value: SecretStr) -> SecretStr:
    fault = value_fault(value.get_secret_value())
    if fault is not None:
        raise PydanticCustomError("secret_value", "{fault}", {"fault": fault})
    return value


SecretValue = Annotated[SecretStr, AfterValidator(_check)]
