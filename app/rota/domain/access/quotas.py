"""Quotas of stored keys: how many tasks, unfinished runs and bytes of kv values there may be under its prefixes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.primitives.texts.english import and_list
from rota.errors import QuotaExceeded


class Counted(StrEnum):
    """What a quota counts, by the field of the key that sets it."""

    #: Tasks that are neither deleted nor completed nor cancelled.
    TASKS = "max_tasks"
    #: Runs that have not ended, and those that backfills have yet to make.
    UNFINISHED_RUNS = "max_unfinished_runs"
    #: Bytes of the values of kv entries of tasks that are not deleted, Rota's own entries apart.
    KV_BYTES = "max_kv_bytes"


@dataclass(frozen=True, slots=True)
class Quota:
    """How many there may be of what is counted, under the prefixes of `tasks`, whoever has made them."""

    counted: Counted
    allowed: int
    tasks: NameLimit

    def check(self, before: int, after: int) -> None:
        """Raise QuotaExceeded for a write that adds to what is counted and ends above what is allowed."""
        if after > max(before, self.allowed):
            raise self.refusal(before, after - before)

    def refusal(self, used: int, further: int) -> QuotaExceeded:
        """Return the error of a request for `further` ones while there are `used`."""
        advice = f"Ask for at most {self.allowed} at a time." if further > self.allowed else None
        return QuotaExceeded(
            f"This key allows {self.allowed} {self._noun}; there are {used}, and this needs {further} more. "
            f"{advice or self._advice}",
            retry_after=self._retry_after,
            present={
                "quota": {
                    "name": self.counted,
                    "allowed": self.allowed,
                    "used": used,
                    "requested": further,
                }
            },
        )

    @property
    def _noun(self) -> str:
        named = ""
        if self.tasks.prefixes is not None:
            given = and_list([repr(each) for each in self.tasks.prefixes], "or")
            named = f" whose names begin with {given}"
        match self.counted:
            case Counted.TASKS:
                return f"tasks{named} that are neither completed nor cancelled"
            case Counted.UNFINISHED_RUNS:
                return (
                    f"unfinished runs of tasks{named}, with those that backfills have yet to make"
                )
            case Counted.KV_BYTES:
                return f"bytes of kv values of tasks{named}"
            case _:
                assert_never(self.counted)

    @property
    def _advice(self) -> str:
        match self.counted:
            case Counted.TASKS:
                return "Cancel or delete tasks that are not needed."
            case Counted.UNFINISHED_RUNS:
                return "Try again when some have ended."
            case Counted.KV_BYTES:
                return "Delete entries that are not needed."
            case _:
                assert_never(self.counted)

    @property
    def _retry_after(self) -> int:
        match self.counted:
            case Counted.TASKS | Counted.KV_BYTES:
                return 60
            case Counted.UNFINISHED_RUNS:
                return 5
            case _:
                assert_never(self.counted)


def quota_of(client: Principal, counted: Counted) -> Quota | None:
    """Return a quota of a client; None if it has none."""
    match counted:
        case Counted.TASKS:
            allowed = client.max_tasks
        case Counted.UNFINISHED_RUNS:
            allowed = client.max_unfinished_runs
        case Counted.KV_BYTES:
            allowed = client.max_kv_bytes
        case _:
            assert_never(counted)
    return None if allowed is None else Quota(counted, allowed, client.tasks)
