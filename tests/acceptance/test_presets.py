"""Whatever the documentation page offers to send works, right after the README and with its example handlers."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rota.api.middleware.auth import takes_token
from rota.api.openapi.presets import MADE_BY
from tests.acceptance.launching import ROOT
from tests.acceptance.server import Server
from tests.support.factories import eventually
from tests.support.openapi import openapi_document

DOCUMENT = openapi_document()
README = {
    "name": "greet",
    "handler": "hello",
    "input": {"name": "Ada"},
    "schedule": {"type": "interval", "every": "5s"},
}
KEY = "0123456789abcdef"
STREAMS = {"/v1/events"}
# Values that no preset can know: they are filled in from a list.
MADE_BY_RUNS = "id"

#: What the presets make that the README does not.
MADE_BY_PRESETS = (
    *("/v1/queues/mail", "/v1/handlers/thumbnails", "/v1/holds/christmas", "/v1/calendars/office"),
    "/v1/secrets/crm",
)

Preset = tuple[str, str, str | None, Any]


def presets() -> Iterator[Any]:
    """Every operation with every body that is offered for it; the last one is the body that is offered at first."""
    for path, item in DOCUMENT["paths"].items():
        if takes_token(path):  # nobody at the page has the token of an attempt
            continue
        for method, operation in item.items():
            bodies: list[tuple[str | None, str, Any]] = [
                (media_type, summary, preset["value"])
                for media_type, content in operation.get("requestBody", {})
                .get("content", {})
                .items()
                for summary, preset in content.get("examples", {}).items()
            ]
            for media_type, summary, body in bodies or [(None, "", None)]:
                name = f"{method.upper()} {path} {summary}".strip()
                yield pytest.param(method, path, media_type, body, id=name)


@pytest.fixture(scope="module")
def ids() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def server(
    sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory, forked: Any
) -> Iterator[Server]:
    """The service as `make run` starts it."""
    folder = tmp_path_factory.mktemp("presets")
    database = folder / "rota.db"
    database.write_bytes(sqlite_template.read_bytes())
    handlers = ROOT / "examples" / "handlers.py"
    # And with keys, without which no secret is stored, and no key made.
    keys = "k1:" + base64.b64encode(bytes(32)).decode()
    made = Server(
        forked,
        f"sqlite:///{database}",
        folder,
        handlers=handlers,
        encryption_keys=keys,
        api_key=KEY,
    )
    made._client.headers["authorization"] = f"Bearer {KEY}"
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def unchanged(server: Server) -> list[str]:
    """What is as the README has left it: the service, as long as requests only read."""
    return []


@pytest.fixture
def after_the_readme(
    server: Server, unchanged: list[str], request: pytest.FixtureRequest
) -> Server:
    """The README's task, which has run twice, and nothing else: no queue, no handler, no calendar of one's own."""
    if server.url not in unchanged:
        _follow_the_readme(server)
    unchanged[:] = [server.url] if _only_reads(request.node) else []
    return server


def _only_reads(test: pytest.Function) -> bool:
    """Return whether a test changes nothing; those that need an id let something be made."""
    preset: dict[str, Any] = test.callspec.params if hasattr(test, "callspec") else {}
    place = (preset.get("method"), preset.get("path"))
    return place[0] == "get" and place not in MADE_BY and MADE_BY_RUNS not in preset["path"]


def _follow_the_readme(server: Server) -> None:
    server.ask("DELETE", "/v1/tasks/greet")
    made = server.ask("POST", "/v1/tasks", json=README)
    assert made.status_code == 201, made.text
    for _ in range(2):
        run = server.call("POST", "/v1/tasks/greet/run")
        ended = server.call("GET", f"/v1/runs/{run['id']}?wait=30")
        assert ended["status"] == "succeeded", ended
    for path in MADE_BY_PRESETS:
        assert server.ask("DELETE", path).status_code in {204, 404}


@pytest.mark.parametrize(("method", "path", "media_type", "body"), list(presets()))
def test_every_preset_of_the_page_works(
    after_the_readme: Server, method: str, path: str, media_type: str | None, body: Any
) -> None:
    operation = DOCUMENT["paths"][path][method]
    made_by = MADE_BY.get((method, path))
    if made_by is not None:
        assert f"`PUT {made_by}` makes: send that first" in operation["description"]
        answer = send_first_preset(after_the_readme, "put", made_by)
        assert answer.is_success, answer.text

    for query in offered_queries(path, operation):
        answer = send(after_the_readme, method, path, query, media_type, body)

        assert answer.is_success, (query, answer.text)
        assert str(answer.status_code) in operation["responses"]


def test_every_body_has_a_preset_and_so_has_every_parameter_but_ids() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            assert not content or any(each.get("examples") for each in content.values()), path
            # The page takes what it finds first.
            assert not content or next(iter(content.values())).get("examples"), (method, path)
            for parameter in operation.get("parameters", ()):
                if parameter.get("required"):
                    known = parameter["name"] == MADE_BY_RUNS or parameter.get("example")
                    assert known, (method, path, parameter["name"])


def test_what_a_preset_is_about_is_there_or_is_made_by_the_request_above() -> None:
    paths = list(DOCUMENT["paths"])
    for (method, path), made_by in MADE_BY.items():
        if path != made_by:
            continue
        assert next(iter(DOCUMENT["paths"][path])) == "put" != method, path
    assert paths.index("/v1/secrets/{name}") < paths.index("/v1/secrets/{name}/rotate")


def test_the_preset_of_a_bulk_is_a_dry_run() -> None:
    found = 0
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                schema = DOCUMENT["components"]["schemas"].get(reference, {})
                for preset in content.get("examples", {}).values():
                    if "dry_run" in schema.get("properties", {}):
                        assert preset["value"]["dry_run"] is True
                        found += 1
    assert found >= 7


def test_the_first_preset_can_be_sent_again_and_again(after_the_readme: Server) -> None:
    """The page has the text: open `POST /v1/tasks`, Execute."""
    content = DOCUMENT["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]
    [first, *_] = content["application/json"]["examples"].values()

    answers = [after_the_readme.ask("POST", "/v1/tasks", json=first["value"]) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3


def offered_queries(path: str, operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What must be given, and that with each further parameter that has an example."""
    parameters = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
    needed = {each["name"]: each["example"] for each in parameters if each.get("required")}
    yield needed
    for each in parameters:
        examples = each["schema"].get("examples") or []
        for schema in each["schema"].get("anyOf", ()):
            examples = examples or schema.get("examples") or []
        if examples and each["name"] not in needed and path not in STREAMS:
            yield needed | {each["name"]: examples[0]}


def send(
    server: Server, method: str, path: str, query: Any, media_type: str | None, body: Any
) -> httpx.Response:
    """Send what the page would send."""
    filled = path
    for parameter in DOCUMENT["paths"][path][method].get("parameters", ()):
        if parameter["in"] == "path":
            value = parameter.get("example") or id_for(server, method, path)
            filled = filled.replace(f"{{{parameter['name']}}}", value)
    options: dict[str, Any] = {"params": query}
    if media_type is not None:
        options |= {"content": as_text(media_type, body), "headers": {"Content-Type": media_type}}
    # A stream never ends; its head does.
    return server.ask("HEAD" if path in STREAMS else method, filled, **options)


def send_first_preset(server: Server, method: str, path: str) -> httpx.Response:
    content = DOCUMENT["paths"][path][method]["requestBody"]["content"]
    media_type = next(iter(content))
    body = next(iter(content[media_type]["examples"].values()))["value"]
    return send(server, method, path, {}, media_type, body)


def as_text(media_type: str, body: Any) -> str:
    """Return a preset as Swagger UI sends it: JSON indented, and a text of a type with `json` in its name in quotes."""
    is_text = isinstance(body, str) and "json" not in media_type
    return body if is_text else json.dumps(body, indent=2)


def id_for(server: Server, method: str, path: str) -> str:
    """Return an id that the reader finds in a list: of a run, of a backfill, or of a key."""
    if path.startswith("/v1/keys"):
        return str(server.call("POST", "/v1/keys", json={"name": "mine", "scopes": ["work"]})["id"])
    if path.startswith("/v1/bulk"):
        preview = {"selector": {"task": ["greet"]}, "dry_run": True}
        return str(server.call("POST", "/v1/runs/rerun", json=preview)["id"])
    if "/backfills/" in path:
        span = {"from": "2026-11-01T08:00:00Z", "to": "2026-11-01T08:00:10Z"}
        begun = server.call("POST", "/v1/tasks/greet/backfill", json=span)
        return str(begun["backfill_id"])
    if path.endswith("/cancel"):
        later = {"scheduled_for": "2999-01-01T00:00:00Z"}
        return str(server.call("POST", "/v1/tasks/greet/run", json=later)["id"])
    ended = eventually(lambda: server.items("/v1/runs?task=greet&status=succeeded"))
    return str(ended[0]["id"])
