"""The clients against the cases; and what the suite itself notices."""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.launching import ROOT, Forked
from tests.acceptance.server import Server
from tests.conformance.cases import ClientStep, Exchange, WireRequest, read_cases
from tests.conformance.matching import ABSENT, differences
from tests.conformance.proxy import Proxy, Script, proxying
from tests.conformance.runner import run_all
from tests.conformance.service import KEY, service
from tests.support.torture import Part, torture

NODE = shutil.which("node")
DOCUMENT = ROOT / "docs" / "reference" / "conformance.md"
PYTHON_DRIVER = f"{sys.executable} -m tests.conformance.python_driver"
NODE_DRIVER = f"{NODE} {ROOT / 'examples' / 'clients' / 'driver.mjs'}"
with_node = pytest.mark.skipif(NODE is None, reason="there is no `node` on this machine")
on_postgresql = pytest.mark.postgres
#: What a client does depends little on the database of its service: one on PostgreSQL, and both with the long tests.
CLIENTS = [
    pytest.param("sqlite", PYTHON_DRIVER, id="sqlite-python"),
    pytest.param("postgresql", PYTHON_DRIVER, id="postgresql-python", marks=on_postgresql),
    pytest.param("sqlite", NODE_DRIVER, id="sqlite-node", marks=with_node),
    pytest.param(
        "postgresql",
        NODE_DRIVER,
        id="postgresql-node",
        marks=[with_node, on_postgresql, torture(Part.POSTGRESQL)],
    ),
]

pytestmark = pytest.mark.slow  # all of them, so that those with one service stay together
on_sqlite = pytest.mark.parametrize("server", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest,
    another_database: Callable[[str], str],
    forked: Forked,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("conformance")
    with service(forked, another_database(request.param), folder) as begun:
        yield begun


@pytest.mark.parametrize(("server", "command"), CLIENTS, indirect=["server"])
def test_a_client_passes_all_cases(server: Server, command: str) -> None:
    verdicts = list(run_all(server.url, KEY, command))

    assert verdicts
    assert [verdict for verdict in verdicts if verdict.faults] == []
    assert [verdict for verdict in verdicts if verdict.unsupported] == []


def test_every_case_has_a_name_of_its_own() -> None:
    names = Counter((file, case.name) for file, case in read_cases())

    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []


def test_the_operations_of_the_cases_are_those_that_are_documented() -> None:
    steps = [step for _, case in read_cases() for step in case.steps]
    used = {step.client for step in steps if isinstance(step, ClientStep)}

    _, _, table = DOCUMENT.read_text().partition("| operation |")
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", table.partition("\n\n")[0], re.MULTILINE))

    assert used == documented


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {}),
        ([1, 2], [1]),
        ("<absent>", None),
        ("<uuid>", "019acfd2"),
        ("<text>", ""),
        ("<integer>", 1.5),
        (9_007_199_254_740_993, 9_007_199_254_740_992),
        ({"<one of>": [1, {"a": 1}]}, {"a": 1, "b": 2}),
    ],
)
def test_what_is_not_as_expected_is_a_difference(expected: Any, actual: Any) -> None:
    assert len(list(differences(expected, actual, {}))) == 1


def test_what_was_saved_is_compared_later() -> None:
    variables: dict[str, Any] = {}

    assert list(differences({"id": "<save first>"}, {"id": 7}, variables)) == []
    assert (
        list(
            differences(
                {"id": "$first", "text": "no. $first"}, {"id": 7, "text": "no. 7"}, variables
            )
        )
        == []
    )
    assert list(differences("<save second>", ABSENT, variables)) != []


#: A driver whose client does nothing right; its replies are those of a plausible client.
CARELESS = """
import http.client, json, os, sys, urllib.parse
address = urllib.parse.urlsplit(os.environ["ROTA_URL"]).netloc
for line in sys.stdin:
    given = json.loads(line)
    try:
        connection = http.client.HTTPConnection(address, timeout=5)
        connection.request("GET", "/v1/tasks/" + given["arguments"].get("name", "x"))
        value = json.loads(connection.getresponse().read())
    except Exception:
        value = None
    print(json.dumps({"value": value}), flush=True)
"""


@on_sqlite
def test_a_careless_client_fails_what_it_does_wrong(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(CARELESS)

    verdicts = list(
        run_all(
            server.url, KEY, f"{sys.executable} {script}", ["tasks", "a connection that is cut"]
        )
    )

    failed = [verdict for verdict in verdicts if verdict.faults]
    assert len(failed) == len(verdicts) > 10


@on_sqlite
def test_a_driver_that_ends_fails_its_case_and_no_other(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "ending.py"
    script.write_text("import sys\nsys.stdin.readline()\nsys.exit('enough')\n")

    verdicts = list(
        run_all(
            server.url,
            KEY,
            f"{sys.executable} {script}",
            ["is declared twice", "is not there is null"],
        )
    )

    assert len(verdicts) == 2
    assert all("enough" in verdict.faults[0] for verdict in verdicts)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxying(server.url) as begun:
        yield begun


def sent(proxy: Proxy, *exchanges: Exchange, requests: int = 1) -> list[str]:
    """Make requests for /healthz under a script; return its faults."""
    proxy.script = Script(exchanges, (), {})
    with httpx.Client(base_url=proxy.url, trust_env=False) as client:
        for _ in range(requests):
            try:
                client.get("/healthz")
            except httpx.TransportError:
                continue
    return proxy.script.end()


HEALTH = WireRequest(method="GET", path="/healthz")


@on_sqlite
def test_a_request_too_many_or_too_few_is_a_fault(proxy: Proxy) -> None:
    assert sent(proxy, Exchange(request=HEALTH)) == []
    assert sent(proxy, Exchange(request=HEALTH), requests=2) == ["a request too many: GET /healthz"]
    assert sent(proxy, Exchange(request=HEALTH), requests=0) == ["not sent: GET /healthz"]


@on_sqlite
def test_a_client_that_does_not_wait_is_a_fault(proxy: Proxy) -> None:
    refused = Exchange.model_validate({"request": HEALTH, "reply": {"status": 503}})

    faults = sent(proxy, refused, Exchange(request=HEALTH, waited=20), requests=2)

    assert len(faults) == 1
    assert "and not 20.0 s" in faults[0]


@on_sqlite
def test_a_cut_connection_is_lost_to_the_client(proxy: Proxy) -> None:
    for cut in ("before", "after", "within"):
        proxy.script = Script([Exchange(request=HEALTH, cut=cut)], (), {})
        with (
            httpx.Client(base_url=proxy.url, trust_env=False) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.get("/healthz")
        assert proxy.script.end() == []


@on_sqlite
def test_fields_are_added_to_a_reply(proxy: Proxy) -> None:
    tasks = WireRequest(method="GET", path="/v1/tasks")
    proxy.script = Script([Exchange(request=tasks, add={"new": [1]})], (), {})

    with httpx.Client(base_url=proxy.url, trust_env=False) as client:
        reply = client.get("/v1/tasks", headers={"authorization": f"Bearer {KEY}"})

    assert json.loads(reply.content)["new"] == [1]
