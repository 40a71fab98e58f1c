"""GET /v1/tasks/{name}/badge.svg: its texts, and who may see it."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from rota.api.edge.security_headers import HEADERS, other_at, with_other
from tests.api.service import Api, problem, serving

KEY = "k" * 16
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
PINGED = {"handler": "ping", "schedule": {"type": "manual"}}


@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    with serving(another_database("sqlite"), api_key=KEY) as made:
        yield made


def declare(api: Api, name: str, **fields: Any) -> None:
    answer = api.put(f"/v1/tasks/{name}", json=PINGED | fields, headers=WITH_KEY)
    assert answer.is_success, answer.text


def message(svg: str) -> str:
    """Return the texts of a badge, by a parser of XML."""
    return "".join(ET.fromstring(svg).itertext())


def test_anyone_is_shown_a_public_badge(guarded: Api) -> None:
    declare(guarded, "public-1", badge="public")
    guarded.post("/v1/tasks/public-1/ping", headers=WITH_KEY)

    answer = guarded.get("/v1/tasks/public-1/badge.svg")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert "passing" in message(answer.text)
    assert guarded.call("HEAD", "/v1/tasks/public-1/badge.svg").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_without_a_key_a_private_badge_is_answered_as_one_of_a_task_that_is_not_there(
    guarded: Api, headers: dict[str, str]
) -> None:
    declare(guarded, "private-1")
    shown = [
        guarded.get(f"/v1/tasks/{name}/badge.svg?metric={metric}", headers=headers)
        for name in ("private-1", "absent-1")
        for metric in ("state", "completeness")
    ]

    assert {answer.status_code for answer in shown} == {401}
    assert {_without_id(answer.text) for answer in shown} == {_without_id(shown[0].text)}
    assert len({tuple(sorted(_named(answer))) for answer in shown}) == 1


def _without_id(text: str) -> str:
    return re.sub(r'"request_id":"\w+"', "", text)


def _named(answer: Any) -> set[tuple[str, str]]:
    return {each for each in answer.headers.items() if each[0] != "x-request-id"}


def test_a_key_is_shown_a_private_badge_and_that_there_is_no_task(guarded: Api) -> None:
    declare(guarded, "private-2")

    answer = guarded.get("/v1/tasks/private-2/badge.svg", headers=WITH_KEY)

    assert "no runs" in message(answer.text)
    assert answer.headers["cache-control"] == "private, max-age=60"
    problem(guarded.get("/v1/tasks/absent/badge.svg", headers=WITH_KEY), 404, "not-found")


def test_a_badge_that_becomes_private_is_not_shown_from_memory(guarded: Api) -> None:
    declare(guarded, "changing", badge="public")
    assert guarded.get("/v1/tasks/changing/badge.svg").status_code == 200

    declare(guarded, "changing", badge="private")

    assert guarded.get("/v1/tasks/changing/badge.svg").status_code == 401


def test_nothing_but_the_badge_is_shown_without_a_key(guarded: Api) -> None:
    declare(guarded, "public-2", badge="public")

    for path in ("", "/stats", "/badge.svg/", "/badge.svg/runs"):
        assert guarded.get(f"/v1/tasks/public-2{path}").status_code in {401, 307}
    assert guarded.put("/v1/tasks/public-2/badge.svg", json={}).status_code == 401


def test_a_badge_of_completeness_says_so_without_fire_times(guarded: Api) -> None:
    declare(guarded, "complete", badge="public")

    answer = guarded.get("/v1/tasks/complete/badge.svg?metric=completeness")

    assert "no fire times" in message(answer.text)


def test_other_pages_may_embed_a_badge_and_nothing_else() -> None:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS]

    other = other_at(b"/v1/tasks/t/badge.svg?metric=state")
    assert other is not None
    assert other_at(b"/v1/tasks/t?x=/badge.svg") is None
    assert dict(with_other(headers, other)) == dict(headers) | {
        b"cross-origin-resource-policy": b"cross-origin"
    }
