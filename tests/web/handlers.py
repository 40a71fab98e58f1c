"""Handlers for the tests of the pages."""

from typing import Any

from rota import Context, handler


@handler("shout")
async def shout(ctx: Context, input: Any) -> None:
    """Print the input, and fail with it."""
    print(input)  # noqa: T201  # kept with the run
    raise ValueError(str(input))
