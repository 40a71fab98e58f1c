"""What the tasks of these tests run: nothing that could take long."""

from typing import Any

from rota import Context, handler


@handler("echo")
async def echo(ctx: Context, input: Any) -> Any:
    """Return the input."""
    return input


@handler("hide")
async def hide(ctx: Context, input: Any) -> None:
    """Return nothing of the input."""
