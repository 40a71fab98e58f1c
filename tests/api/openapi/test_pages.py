"""The OpenAPI document and its page: complete, described, and without the internet."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from rota.api.problems.types import PROBLEM_TYPES
from tests.api.marks import shares_service
from tests.api.service import Api, problem

pytestmark = shares_service


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return api.read("/openapi.json")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_the_root_redirects_to_the_page(api: Api) -> None:
    answer = api.get("/")

    assert answer.status_code == 307
    assert answer.headers["location"] == "/ui"


def test_the_page_needs_no_internet(api: Api) -> None:
    page = api.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(r"(?:https?:)?//[a-z]", page.text)
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) >= 3
    for path in linked:
        asset = api.get(path)
        assert asset.status_code == 200, path
        assert len(asset.content) > 500


def test_the_page_runs_its_own_scripts_only_and_cannot_be_framed(api: Api) -> None:
    page = api.get("/docs")

    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert "persistAuthorization" not in page.text  # a key is not kept in the browser


def test_the_assets_fetch_nothing_from_elsewhere(api: Api) -> None:
    css = api.get("/docs/swagger-ui.css").text

    assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", css)
    assert "@import" not in css
    assert api.get("/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/java")


@pytest.mark.parametrize("asset", ["x", "..%2f..%2fsettings.py", "index.html", "%00"])
def test_other_files_are_not_served(api: Api, asset: str) -> None:
    problem(api.get(f"/docs/{asset}"), 404, "not-found")


def test_every_operation_has_a_summary_a_tag_and_an_id_of_its_own(
    document: dict[str, Any],
) -> None:
    ids = []
    for name, operation in operations(document):
        assert operation["summary"], name
        assert "\n" not in operation["summary"], name
        assert len(operation["tags"]) == 1, name
        ids.append(operation["operationId"])
    assert len(ids) == len(set(ids))
    assert {tag["name"] for tag in document["tags"]} == {
        operation["tags"][0] for _, operation in operations(document)
    }


def test_every_schema_has_a_description(document: dict[str, Any]) -> None:
    missing = [
        name
        for name, schema in document["components"]["schemas"].items()
        if not schema.get("description")
    ]

    assert missing == []


def test_the_document_has_all_components_and_no_unused_ones(document: dict[str, Any]) -> None:
    text = str(document)

    for name in document["components"]["schemas"]:
        assert f"'#/components/schemas/{name}'" in text, f"{name} is not used"
    used = set(re.findall(r"'#/components/schemas/(\w+)'", text))
    assert used == set(document["components"]["schemas"])
    assert "HTTPValidationError" not in text


def test_every_problem_is_declared_as_one(document: dict[str, Any]) -> None:
    reference = {"$ref": "#/components/schemas/Problem"}
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if int(status) >= 400:
                [(media_type, content)] = response["content"].items()
                assert (media_type, content["schema"]) == ("application/problem+json", reference)
                assert content["examples"], (name, status)


def test_every_example_of_a_problem_is_one_of_its_type_and_status(
    document: dict[str, Any],
) -> None:
    seen = set()
    for name, operation in operations(document):
        for status, slug, shown in problems_of(operation):
            assert (shown["type"], shown["status"]) == (f"/problems/{slug}", int(status)), name
            assert PROBLEM_TYPES[slug][0] == int(status)
            assert f"`{slug}`: " in operation["responses"][status]["description"]
            assert all(shown[field] for field in ("title", "detail", "request_id")), slug
            seen.add(slug)
    # The rest is not an operation's: there is no such path, or method, or page; or it is that of one of many runs.
    assert PROBLEM_TYPES.keys() - seen <= {
        *(
            "run-in-use",
            "method-not-allowed",
            "forbidden",
            "error",
            "internal",
            "lease-lost",
            "not-found",
        )
    }


def test_an_operation_lists_only_the_problems_that_it_can_return(
    document: dict[str, Any],
) -> None:
    of_bodies = {"malformed-json", "unsupported-media-type", "unacceptable-json", "too-large"}
    for name, operation in operations(document):
        listed = {slug for _, slug, _ in problems_of(operation)}
        names = {each["name"] for each in operation.get("parameters", ())}
        assert (of_bodies & listed == of_bodies) == ("requestBody" in operation), name
        assert ("unauthorized" in listed) == (name not in {"GET /healthz", "GET /readyz"}), name
        assert ("invalid-cursor" in listed) == ("cursor" in names), name
        assert ("precondition-failed" in listed) == ("If-Match" in names), name
        assert ("idempotency-key-reused" in listed) == ("Idempotency-Key" in names), name
        # Of others a key may be limited to some names.
        makes = name in {"PUT /v1/handlers/{name}", "PUT /v1/calendars/{name}"}
        assert ("not-found" in listed) == ("{" in name and not makes), name


def problems_of(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/problem+json", {})
        for slug, shown in content.get("examples", {}).items():
            yield status, slug, shown["value"]


def test_a_problem_is_described_field_by_field(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["Problem"]

    assert set(fields["required"]) == {"type", "title", "status", "detail", "request_id"}
    assert "errors" in fields["properties"]


def test_what_registers_a_task_has_examples_that_can_be_sent(
    api: Api, document: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"]["TaskIn"]

    assert schema["examples"]
    for example in schema["examples"]:
        sent = example | ({"handler": "echo"} if example["handler"] != "http" else {})
        assert api.post("/v1/tasks", json=sent).status_code == 201


def test_keys_are_declared(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_problem_type_has_its_page(api: Api) -> None:
    for slug, (status, _) in PROBLEM_TYPES.items():
        page = api.get(f"/problems/{slug}")
        assert page.status_code == 200
        assert f"HTTP {status}" in page.text
        assert slug in page.text
    problem(api.get("/problems/none-of-ours"), 404, "not-found")
