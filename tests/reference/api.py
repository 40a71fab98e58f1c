"""The requests of the API, by what they are about, from its OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from rota.main import create_app
from rota.settings import Settings
from tests.reference.tables import table

#: The page that explains what the requests of a tag do.
EXPLAINED = {
    "tasks": "../../explanation/concepts.md#registering-declaring-changing",
    "runs": "../runs/lists.md",
    "kv": "../handlers/kv.md",
    "bulk": "../runs/bulk.md",
    "events": "events.md",
    "secrets": "../http/secrets.md",
    "keys": "../access/keys.md",
    "alerts": "../alerts/alerts.md",
    "audit": "../access/audit.md",
    "calendars": "../tasks/calendars.md",
    "queues": "../runs/queues.md",
    "holds": "../tasks/holds.md",
    "handlers": "../handlers/handlers.md",
    "system": "../../guides/deployment.md#health",
}


def requests() -> str:
    """Return a section for each tag, with a table of its requests."""
    document = create_app(Settings(database_url="sqlite:///not-opened.db")).openapi()
    return "\n".join(_section(document, tag) for tag in document["tags"])


def _section(document: Mapping[str, Any], tag: Mapping[str, str]) -> str:
    name = tag["name"]
    rows = [
        (f"`{method.upper()} {path}`", operation["summary"])
        for method, path, operation in _operations(document)
        if name in operation["tags"]
    ]
    told = f"{tag['description']} [What they mean]({EXPLAINED[name]})."
    return f"## {name}\n\n{told}\n\n{table(('request', 'what it does'), rows)}"


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation
