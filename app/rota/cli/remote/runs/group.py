"""`rota run`: runs, and a task run now."""

from typing import Any

from rota.cli.registry import Group, group_of_commands
from rota.cli.remote.runs import bulk, listing, operations
from rota.cli.remote.tasks.running import run_task

HELP = "Runs. `rota run TASK` runs a task now."
_START = "start"


class RunGroup(Group):
    """The group: what is no command of it is the name of a task, so `rota run nightly` is `rota run start nightly`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the first argument names; else `start`, with that argument."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = [_START, *args]
        return super().resolve_command(ctx, args)


group = group_of_commands(HELP, cls=RunGroup)
group.command("list")(listing.list_runs)
group.command("show")(listing.show_run)
group.command("logs")(listing.show_logs)
group.command("cancel")(bulk.cancel)
group.command("rerun")(bulk.rerun)
group.command("delete")(bulk.delete)
group.command("bulk")(operations.show_operation)
group.command(_START)(run_task)
