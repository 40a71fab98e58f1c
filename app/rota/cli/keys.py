"""`rota key`: on the database itself, or over the API of a service that was chosen."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from rota.cli.contexts import is_chosen
from rota.cli.registry import Group, group_of_commands

_ON_DATABASE = "rota.cli.local.keys"
_OVER_THE_API = "rota.cli.remote.resources.keys"


class KeyGroup(Group):
    """The commands of one of the two modules; they have the same names and options."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return _commands(ctx).list_commands(ctx)  # type: ignore[no-any-return]  # typer gives Any

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None if there is none."""
        return _commands(ctx).get_command(ctx, cmd_name)


def _commands(ctx: Any) -> Any:
    root = ctx.find_root().params
    over_the_api = not ctx.params.get("local") and is_chosen(
        url=root.get("url"), context=root.get("context_name")
    )
    return get_command(import_module(_OVER_THE_API if over_the_api else _ON_DATABASE).group)


group = group_of_commands("API keys.", cls=KeyGroup)


@group.callback()
def options(
    local: Annotated[
        bool, typer.Option("--local", help="On the database, although a service is chosen.")
    ] = False,
) -> None:
    """API keys.

    If a service is chosen (--url, --context, ROTA_URL, ROTA_CONTEXT, `rota context use`), they are those of this
    service, over its API. Otherwise they are made on the database itself, with the settings of the service: so the
    first one needs no service and no key.
    """
    del local
