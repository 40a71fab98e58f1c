"""If-Match and If-None-Match on tasks."""

from typing import Any

import pytest

from tests.api.marks import on_both, shares_service
from tests.api.service import Api, pointers, problem
from tests.api.tasks.test_declaration import BODY, etag_of, put

pytestmark = on_both


def test_if_none_match_creates_only(api: Api) -> None:
    assert put(api, BODY, if_none_match="*").status_code == 201

    refused = problem(put(api, BODY, if_none_match="*"), 412, "precondition-failed")

    assert refused["task"]["generation"] == 1


def test_if_match_allows_a_change_only_of_the_version_read(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)
    assert put(api, BODY | {"priority": 1}, if_match=read).status_code == 200

    refused = problem(put(api, BODY | {"priority": 2}, if_match=read), 412, "precondition-failed")

    assert refused["task"]["generation"] == 2
    assert api.read("/v1/tasks/t")["priority"] == 1


def test_if_match_on_an_unknown_task_is_412(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)
    api.delete("/v1/tasks/t")

    problem(put(api, BODY, if_match=read), 412, "precondition-failed")
    assert api.names() == []


def test_if_match_refuses_the_tag_of_an_earlier_task_of_the_same_name(api: Api) -> None:
    put(api, BODY)
    before = etag_of(api)
    api.delete("/v1/tasks/t")
    put(api, BODY)

    problem(put(api, BODY, if_match=before), 412, "precondition-failed")


@shares_service
@pytest.mark.parametrize("tag", ["nonsense", '"x.1"', '"1"', 'W/"1"', '""'])
def test_a_foreign_tag_matches_nothing(api: Api, tag: str) -> None:
    put(api, BODY)

    problem(put(api, BODY, if_match=tag), 412, "precondition-failed")


def test_any_tag_matches_every_existing_task_and_no_other(api: Api) -> None:
    problem(put(api, BODY, if_match="*"), 412, "precondition-failed")
    put(api, BODY)

    assert put(api, BODY | {"priority": 1}, if_match=" * ").status_code == 200
    problem(put(api, BODY, if_none_match="*"), 412, "precondition-failed")


def test_one_tag_of_a_list_is_enough(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)

    made = put(api, BODY | {"priority": 1}, if_match=f'"a,b", , {read}')

    assert made.status_code == 200
    problem(put(api, BODY, if_match=f'{read}, "a"'), 412, "precondition-failed")


def test_a_weak_tag_never_satisfies_if_match_but_does_satisfy_if_none_match(api: Api) -> None:
    put(api, BODY)
    weak = f"W/{etag_of(api)}"

    problem(put(api, BODY | {"priority": 1}, if_match=weak), 412, "precondition-failed")
    problem(put(api, BODY | {"priority": 1}, if_none_match=weak), 412, "precondition-failed")
    assert api.read("/v1/tasks/t")["generation"] == 1


def test_if_none_match_protects_the_tags_of_a_list(api: Api) -> None:
    put(api, BODY)
    read = etag_of(api)

    problem(put(api, BODY, if_none_match=f'"a", {read}'), 412, "precondition-failed")
    assert put(api, BODY | {"priority": 1}, if_none_match='"a", "b"').status_code == 200
    assert put(api, BODY | {"priority": 2}, if_none_match=read).status_code == 200


@shares_service
@pytest.mark.parametrize("tags", ["nonsense", '"a" "b"', '"a', "**", "*, *", "", ","])
def test_a_malformed_list_of_tags_changes_nothing(api: Api, tags: str) -> None:
    put(api, BODY)

    refused = put(api, BODY | {"priority": 1}, if_none_match=tags)

    problem(refused, 422, "invalid-header")
    assert pointers(refused) == ["If-None-Match"]


@shares_service
@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "patch", "delete"])
def test_every_change_accepts_if_match(api: Api, action: str) -> None:
    put(api, BODY)
    old = etag_of(api)
    put(api, BODY | {"priority": 1})

    def change(tag: str) -> Any:
        headers = {"If-Match": tag}
        match action:
            case "patch":
                return api.patch("/v1/tasks/t", json={"priority": 2}, headers=headers)
            case "delete":
                return api.delete("/v1/tasks/t", headers=headers)
            case _:
                return api.post(f"/v1/tasks/t/{action}", headers=headers)

    for wrong in (old, f"W/{etag_of(api)}", f'"a", {old}'):
        problem(change(wrong), 412, "precondition-failed")
    assert change(f"{old}, {etag_of(api)}").status_code in {200, 204}


@shares_service
@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "patch", "delete"])
def test_every_change_accepts_conditions_with_any_tag(api: Api, action: str) -> None:
    put(api, BODY)
    method, path = {"patch": ("PATCH", ""), "delete": ("DELETE", "")}.get(
        action, ("POST", f"/{action}")
    )
    options: dict[str, Any] = {"json": {"priority": 2}} if action == "patch" else {}

    refused = api.call(method, f"/v1/tasks/t{path}", headers={"If-None-Match": "*"}, **options)
    made = api.call(method, f"/v1/tasks/t{path}", headers={"If-Match": "*"}, **options)

    problem(refused, 412, "precondition-failed")
    assert made.status_code in {200, 204}
