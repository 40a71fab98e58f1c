"""Secrets in plain, for the attempt that sends them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OpenedSecret:
    """A named secret in plain: its present value, and the one before it while a rotation overlaps.

    `origins` are the servers that it may be sent to (`https://api.example.com`), `tasks` the names of tasks that may
    send it, or beginnings of names with a `*` behind. One with a `fault` could not be decrypted, and has no value.
    """

    name: str
    value: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("*",)
    fault: str | None = None
