"""Parameters of requests for the key-value table of a task."""

from typing import Annotated

from fastapi import Header, Path, Query

from rota.domain.primitives.texts.names import KEY_PREFIX_PATTERN, READABLE_KEY_PATTERN

Key = Annotated[str, Path(pattern=READABLE_KEY_PATTERN, examples=["cursor"])]
Prefix = Annotated[
    str, Query(pattern=KEY_PREFIX_PATTERN, description="Only keys with this prefix.")
]
Keys = Annotated[list[str] | None, Query(description="Only these keys.")]
Start = Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, description="From this key on.")]
End = Annotated[str, Query(pattern=KEY_PREFIX_PATTERN, description="Before this key.")]
Include = Annotated[
    list[str] | None,
    Query(
        description="`values` (the default), or `keys`, which leaves the values out; `count` with either: how many "
        "there are in total.",
        examples=[["keys", "count"]],
    ),
]
At = Annotated[
    str | None,
    Query(
        description="The table as it was: at a time (RFC 3339 with an offset; or, in the task's time zone, a local "
        "time, or a date: its first instant), just before the writes of a run (its id), or at a revision. "
        "`incomplete` and `missing` report what the history has forgotten.",
        examples=["2026-11-25T08:00:00Z"],
        max_length=64,
    ),
]
Watch = Annotated[
    list[str] | None,
    Query(
        description="At most 100 keys, or prefixes that end in `*`, to watch; empty or `*`: all."
    ),
]
Initial = Annotated[
    bool, Query(description="With `watch`: send the present entries first, then `kv.ready`.")
]
IfNoneMatchTag = Annotated[
    str | None, Header(alias="If-None-Match", description="An ETag: 304 if the entry still has it.")
]
