"""`rota kv`: the key-value table of a task."""

from rota.cli.registry import group_of_commands
from rota.cli.remote.kv import editing, entries, watching

group = group_of_commands("The key-value table of a task.")
group.command("get")(entries.get)
group.command("set")(entries.set_value)
group.command("delete")(entries.delete)
group.command("list")(entries.list_entries)
group.command("edit")(editing.edit)
group.command("watch")(watching.watch)
