"""Ids: UUIDv7, which sort by the time they were made."""

import secrets
import threading
from datetime import datetime
from random import Random
from typing import Annotated, NewType
from uuid import UUID, uuid4

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

#: The id of a task, a run or a replica: a UUID as it is written, with dashes and in lower case. It is text since a run
#: is looked up by ids some fifty times, and text is hashed and compared without Python.
Id = NewType("Id", str)

#: An id in a request, in any notation of UUIDs.
GivenId = Annotated[
    Id,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_after_validator_function(
            str, core_schema.uuid_schema()
        )
    ),
]

#: An id that nothing has.
NO_ID = Id("00000000-0000-0000-0000-000000000000")

_COUNTER_BITS = 42


class IdFactory:
    """Makes UUIDv7s that rise strictly within this process.

    RFC 9562, section 6.2, method 1: rand_a and the head of rand_b are one counter of 42 bits, seeded
    at random in each new millisecond, so that ids made in the same millisecond keep their order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = -1
        self._counter = 0
        # Seeded once: asking the system for each id is a system call, and ids are no secrets.
        self._random = Random(secrets.randbits(256))  # noqa: S311

    def __call__(self, now: datetime) -> Id:
        """Return a fresh id for `now` (UTC); ids made later sort later, even if `now` went back."""
        milliseconds = int(now.timestamp() * 1000)
        with self._lock:
            if milliseconds > self._last_ms:
                self._last_ms = milliseconds
                # The top bit stays clear, so that a busy millisecond has room to count.
                self._counter = self._random.getrandbits(_COUNTER_BITS - 1)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms += 1
                    self._counter = 0
            return _pack(self._last_ms, self._counter, self._random.getrandbits(32))


def _pack(milliseconds: int, counter: int, tail: int) -> Id:
    rand_a = counter >> 30
    rand_b = (counter & 0x3FFFFFFF) << 32 | tail
    return from_hex(
        f"{(milliseconds & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b:032x}"
    )


def from_hex(digits: str) -> Id:
    """Return the id of 32 hexadecimal digits in lower case."""
    return Id(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")


def to_id(text: str) -> Id:
    """Return the id in a text, in any notation of UUIDs; raises ValueError."""
    return Id(str(UUID(text)))


def random_id() -> Id:
    """Return an id that does not contain a time."""
    return Id(str(uuid4()))


new_id = IdFactory()
