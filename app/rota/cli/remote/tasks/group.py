"""`rota task`: tasks."""

from rota.cli.registry import group_of_commands
from rota.cli.remote.apply.command import apply
from rota.cli.remote.tasks import adding, listing, running, transfer, verbs

HELP = "Tasks."

group = group_of_commands(HELP)
group.command("add")(adding.add_task)
group.command("list")(listing.list_tasks)
group.command("show")(listing.show_task)
group.command("apply")(apply)
group.command("run")(running.run_task)
group.command("pause")(verbs.pause)
group.command("resume")(verbs.resume)
group.command("cancel")(verbs.cancel)
group.command("delete")(verbs.delete)
group.command("export")(transfer.export)
group.command("import")(transfer.import_tasks)
