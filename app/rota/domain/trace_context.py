"""Trace contexts: the `traceparent` of W3C Trace Context, level 1, as it is taken in and passed on."""

import re
from hashlib import sha256
from typing import Final

HEADER: Final = "traceparent"
#: The length of one as it is kept: version 00, trace id, parent id, flags.
LENGTH: Final = 55

_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>.*)",
    re.ASCII,
)
_NO_TRACE, _NO_PARENT = "0" * 32, "0" * 16
_SAMPLED = 0x01


def read_traceparent(given: str) -> str | None:
    """Return the trace context of a header, in the form of version 00; None if it is invalid, and to be ignored.

    Section 3.2 of the recommendation: lower case only, ids that are not all zeros, never version `ff`, nothing after
    the flags in version 00. What a later version adds is ignored; of the flags only `sampled` is known.
    """
    found = _FORM.fullmatch(given.strip(" \t"))
    if found is None or found["version"] == "ff":
        return None
    if found["trace"] == _NO_TRACE or found["parent"] == _NO_PARENT:
        return None
    if found["rest"] and (found["version"] == "00" or not found["rest"].startswith("-")):
        return None
    return _write(found["trace"], found["parent"], int(found["flags"], 16))


def traceparent_of_attempt(of_run: str | None, run_id: str, attempt: int) -> str | None:
    """Return the trace context that an attempt passes on: the trace of its run, with a span of its own.

    The span id is derived from run and attempt, so that every attempt has another one, and a repeated call the same.
    None, if the run has none.
    """
    if of_run is None:
        return None
    _version, trace, _parent, flags = of_run.split("-")
    span = sha256(f"{run_id}:{attempt}".encode()).hexdigest()[:16]
    return _write(trace, _NO_PARENT[:-1] + "1" if span == _NO_PARENT else span, int(flags, 16))


def _write(trace: str, parent: str, flags: int) -> str:
    return f"00-{trace}-{parent}-{flags & _SAMPLED:02x}"
