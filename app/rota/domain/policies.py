"""Policies: retries, overlaps, misfires, and how long history is kept."""

from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Literal, Self, assert_never

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationInfo,
    model_validator,
)

from rota.domain.primitives.bounds import (
    DEFAULT_INITIAL_INTERVAL,
    DEFAULT_KEPT_AGE,
    DEFAULT_KEPT_RUNS,
    DEFAULT_MAX_INTERVAL,
    MOST_KEPT_RUNS,
    contradiction,
    is_stored,
    settle,
)
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import MAX_DURATION, Duration

MAX_ATTEMPTS = 1_000
MAX_CONCURRENCY = 10_000
# A retry comes within this share of its computed interval, either way, so that a herd spreads out.
JITTER = 0.2
# How many fire times `run_all`, `skip` (within its grace) and `catch_up: all` run at once: the last ones; those before
# them are skipped.
MOST_CAUGHT_UP = 100
# How late a fire time may be that `misfire_policy: skip` still takes for one on time, unless `misfire_grace` says so.
# What is on time runs, each of several: the policy is about what misfired. `MOST_CAUGHT_UP` bounds it.
SKIP_GRACE = timedelta(seconds=60)
# How many runs wait behind one that is under way (`overlap_policy: buffer`); further fire times are skipped.
MOST_BUFFERED = 100


class OverlapPolicy(StrEnum):
    """How a fire time is treated that comes while an earlier run of the task is unfinished."""

    SKIP = "skip"  # a skipped run, reason `overlap`
    BUFFER = "buffer"  # a run that waits for the earlier ones, in order
    ALLOW = "allow"  # another run beside it
    REPLACE = "replace"  # the earlier one is cancelled, and this one starts when it has ended


class MisfirePolicy(StrEnum):
    """How fire times are treated that passed while no replica could fire them."""

    RUN_ONCE = "run_once"  # the last one runs, those before it are one skipped run
    RUN_ALL = "run_all"  # the last ones run, oldest first
    SKIP = "skip"  # none runs, but what is hardly late counts as on time


#: Which fire times of a pause run when the task is resumed: none, the last one, or the last `MOST_CAUGHT_UP`.
CatchUp = Literal["none", "once", "all"]


class RetryPolicy(BaseModel):
    """How often, and how far apart, a failed run is tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: int = Field(
        3, strict=True, ge=1, le=MAX_ATTEMPTS, description="Counts the first attempt."
    )
    backoff: Literal["exponential", "linear", "constant"] = "exponential"
    initial_interval: Duration = Field(
        DEFAULT_INITIAL_INTERVAL,
        description="Where it is left out, not more than `max_interval`.",
    )
    multiplier: StrictInt | StrictFloat = Field(2, ge=1, le=100, description="For `exponential`.")
    max_interval: Duration = Field(
        DEFAULT_MAX_INTERVAL,
        description="The longest wait; where it is left out, not less than `initial_interval`.",
    )
    max_elapsed: Duration | None = Field(
        None, description="No retry starts later than this after the first attempt."
    )
    jitter: bool = Field(
        True, strict=True, description="Move each retry by up to 20 %, so that a herd spreads out."
    )

    @model_validator(mode="after")
    def _intervals_agree(self, info: ValidationInfo) -> Self:
        first, most = self.initial_interval, self.max_interval
        if first > most:
            given = self.model_fields_set
            if "max_interval" not in given:
                settle(self, max_interval=first)
            elif "initial_interval" in given and not is_stored(info):
                raise contradiction(("initial_interval",), ("max_interval",), (first, most))
            else:
                settle(self, initial_interval=most)
        return self


class Concurrency(BaseModel):
    """At most `limit` runs with the same `key` run at once, whatever their tasks, queues and replicas."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Name = Field(description="Shared by the tasks that name it.", examples=["billing-api"])
    limit: int = Field(
        1,
        strict=True,
        ge=1,
        le=MAX_CONCURRENCY,
        description="A run starts only while fewer than this many with its key are running.",
    )


class Retention(BaseModel):
    """How much of a task's history is kept; the last successful run always is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(
        DEFAULT_KEPT_RUNS,
        strict=True,
        ge=1,
        le=MOST_KEPT_RUNS,
        description=f"Finished runs. Left out beside an `age` above its default: {MOST_KEPT_RUNS:,}.",
    )
    age: Duration = Field(
        DEFAULT_KEPT_AGE,
        description="Since they finished. Left out beside `runs` above their default: however old.",
    )

    @model_validator(mode="after")
    def _what_is_asked_for_is_kept(self, info: ValidationInfo) -> Self:
        given = self.model_fields_set
        if is_stored(info):  # defaults were left out there, also those that were given
            return self
        if "age" not in given and self.runs > DEFAULT_KEPT_RUNS:
            settle(self, age=MAX_DURATION)
        if "runs" not in given and self.age > DEFAULT_KEPT_AGE:
            settle(self, runs=MOST_KEPT_RUNS)
        return self


def retry_interval(policy: RetryPolicy, failures: int, run_id: Id) -> timedelta:
    """Return how long to wait after the `failures`-th failure (from 1) of the run.

    Jitter is a function of the run and the failure, so that every replica computes the same.
    """
    seconds = policy.initial_interval.total_seconds() * _growth(policy, failures)
    if policy.jitter:
        seconds *= 1 + JITTER * (2 * Random(f"{run_id}/{failures}").random() - 1)  # noqa: S311  # not a secret
    return timedelta(milliseconds=round(min(seconds, policy.max_interval.total_seconds()) * 1000))


def shortest_retry(policy: RetryPolicy) -> timedelta:
    """Return the shortest wait after the first failure that the policy allows."""
    return policy.initial_interval * (1 - JITTER if policy.jitter else 1)


def conflict_interval(conflicts: int, run_id: Id) -> timedelta:
    """Return how long to wait after the `conflicts`-th conflict (from 1) of the run: 25 to 50 ms, doubled up to 1 s.

    The jitter, a function of the run and the conflict, keeps the same runs from conflicting again at once.
    """
    longest = min(0.05 * 2.0 ** (conflicts - 1), 1.0)
    part = 0.5 + Random(f"{run_id}/conflict/{conflicts}").random() / 2  # noqa: S311  # not a secret
    return timedelta(milliseconds=round(longest * part * 1000))


def _growth(policy: RetryPolicy, failures: int) -> float:
    match policy.backoff:
        case "exponential":
            # The exponent is cut: 2.0 ** 1100 is an OverflowError, and max_interval cuts far earlier.
            return min(policy.multiplier ** min(failures - 1, 100), 1e12)
        case "linear":
            return failures
        case "constant":
            return 1
        case _:
            assert_never(policy.backoff)
