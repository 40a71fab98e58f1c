"""Headers for browsers: on every response, whoever makes it, over sockets as `rota serve` sends them."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from rota.api.edge.security_headers import HEADERS
from tests.api.edge.service import Answer
from tests.api.edge.sockets import Listening, listening, request
from tests.api.marks import shares_service
from tests.api.service import serving

KEY = "a-key-of-a-service-1"
EXPECTED = dict(HEADERS)
STRICT = EXPECTED.pop("content-security-policy")
OF_PAGES = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

pytestmark = shares_service


@pytest.fixture(scope="module")
def service(sqlite_template: object, another_database: object) -> Iterator[Listening]:
    assert callable(another_database)
    with serving(another_database("sqlite"), api_key=(KEY,)) as api, listening(api) as made:
        yield made


def ask(service: Listening, method: str, path: str, **headers: str) -> Answer:
    with closing(service.connect()) as client:
        client.send(request(method, path, connection="close", **headers))
        return client.answer(has_body=method != "HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/", 307),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs/swagger-ui.css", 200),
        ("GET", "/docs/nothing", 404),
        ("GET", "/v1/tasks", 401),
        ("OPTIONS", "/openapi.json", 405),
        ("GET", f"/{'a' * 10_000}", 414),
    ],
)
def test_every_response_forbids_framing_sniffing_and_scripts(
    service: Listening, method: str, path: str, status: int
) -> None:
    answer = ask(service, method, path)

    assert answer.status == status
    assert answer.headers["content-security-policy"] == STRICT
    assert answer.headers.items() >= EXPECTED.items()
    assert "server" not in answer.headers


def test_a_refusal_before_a_request_is_complete_has_them_too(service: Listening) -> None:
    with closing(service.connect()) as client:
        answer = client.ask(b"nonsense\r\n\r\n")

    assert answer.status == 400
    assert answer.headers.items() >= (EXPECTED | {"content-security-policy": STRICT}).items()


@pytest.mark.parametrize("path", ["/docs", "/docs?x=1", "/problems/not-found", "/problems/x"])
def test_a_page_cannot_be_framed_either_and_may_have_its_own_style(
    service: Listening, path: str
) -> None:
    answer = ask(service, "GET", path)

    policies = answer.all("content-security-policy")
    assert policies[0] == OF_PAGES
    assert [policy for policy in policies if "frame-ancestors 'none'" not in policy] == []
    assert answer.headers.items() >= EXPECTED.items()
    if path.startswith("/docs"):
        assert "script-src 'self' 'sha256-" in policies[1]


@pytest.mark.parametrize("path", ["/guide", "/guide?q=x", "/guide/explanation/concepts"])
def test_a_page_of_the_guide_may_have_styles_of_this_service_and_no_script(
    service: Listening, path: str
) -> None:
    answer = ask(service, "GET", path)

    [policy] = answer.all("content-security-policy")
    assert answer.status == 200
    assert policy.startswith(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"
    )
    assert "script-src" not in policy
    assert answer.headers.items() >= EXPECTED.items()


def test_no_header_is_sent_twice(service: Listening) -> None:
    for path in ("/healthz", "/docs", "/guide", "/problems/not-found", "/v1/tasks"):
        answer = ask(service, "GET", path)
        for name in EXPECTED:
            assert len(answer.all(name)) == 1, (path, name)


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/docs", "/docs/swagger-ui.css", "/problems/invalid"]
)
def test_the_documentation_needs_no_key_and_accepts_one(service: Listening, path: str) -> None:
    assert ask(service, "GET", path).status == 200
    assert ask(service, "GET", path, authorization=f"Bearer {KEY}").status == 200
    assert ask(service, "GET", path, authorization="Bearer another").status == 200


def test_other_origins_get_no_information(service: Listening) -> None:
    answer = ask(service, "GET", "/healthz", origin="https://evil.example")

    assert [name for name in answer.headers if name.startswith("access-control")] == []
