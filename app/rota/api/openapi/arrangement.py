"""The order in which the documentation page shows things, and where it shows a lock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rota.api.middleware.auth import is_open
from rota.api.openapi.presets import MADE_BY
from rota.api.tasks.response_examples import REGISTERED, TASK

_KV: Final = "/v1/tasks/{name}/kv"
#: What a reader looks for first; the service looks through its routes in another order.
_KV_ORDER: Final = (
    *("", "/{key}", "/{key}/history", "/transaction"),
    *("/revert", "/export", "/import"),
)
#: Those that FastAPI takes from models have lost the fields that are null.
_EXAMPLES: Final = {"TaskOut": TASK, "RegistrationOut": REGISTERED}
_UNTOLD: Final = "Successful Response"
_FIRST_FIELDS: Final = ("id", "name")


def arrange(document: dict[str, Any]) -> None:
    """Put paths and fields into the order of a reader, take the lock from what needs no key, add whole examples."""
    schemas = document["components"]["schemas"]
    paths = document["paths"]
    document["paths"] = {path: _made_first(path, paths[path]) for path in _ordered(paths)}
    for path, item in document["paths"].items():
        for operation in item.values():
            _describe_successes(operation, schemas)
            if is_open(path):
                operation["security"] = []
    for name, schema in schemas.items():
        if name in _EXAMPLES:
            schema["examples"] = [_EXAMPLES[name]]
        if "name" in schema.get("properties", {}):
            schema["properties"] = _names_first(schema["properties"])


def _made_first(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operations of a path, with that first which makes what another one is about."""
    if MADE_BY.get(("delete", path)) != path:
        return dict(item)
    return {"put": item["put"], **item}


def _describe_successes(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Describe what a response has, where FastAPI has only that it is one of success."""
    for response in operation["responses"].values():
        if response["description"] != _UNTOLD:
            continue
        content = response.get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        meaning = schemas.get(name, {}).get("description", "Done.")
        response["description"] = meaning.partition("\n\n")[0]


def _ordered(paths: Mapping[str, Any]) -> Iterator[str]:
    of_kv = iter(sorted((path for path in paths if path.startswith(_KV)), key=_rank))
    for path in paths:
        yield next(of_kv) if path.startswith(_KV) else path


def _rank(path: str) -> int:
    return _KV_ORDER.index(path.removeprefix(_KV))


def _names_first(fields: Mapping[str, Any]) -> dict[str, Any]:
    first: Sequence[str] = [name for name in _FIRST_FIELDS if name in fields]
    return {name: fields[name] for name in (*first, *fields)}
