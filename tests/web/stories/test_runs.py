"""What failed last night and why, and how it is repaired: one run, and all of them at once."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.handlers import open_gate, wait_entered
from tests.api.service import Api

GREETING = {"name": "Ada", "times": 1}


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    once = {"retry": {"max_attempts": 1}, "overlap_policy": "allow"}
    api.task("nightly", handler="fail", tags=["billing"], **once)
    api.task("greeting", handler="greet", input=GREETING)
    api.task("customers", handler="refuse", **once)
    for name in ("nightly", "customers", "customers", "customers"):
        api.ended(api.run(name))
    api.ended(api.run("greeting"))


def test_what_failed_and_why_and_again_with_other_input(page: Page, api: Api) -> None:
    page.goto("/ui/runs/failures?window=12h")
    expect(page.get_by_text("4 failed runs")).to_be_visible()
    page.get_by_role("link", name="Show 1 run: ValueError").click()
    expect(page.get_by_text("that ended in the last 12h")).to_be_visible()
    page.get_by_role("link", name="Run of nightly, failed").click()
    expect(page.get_by_text("broken").first).to_be_visible()

    page.get_by_role("link", name="Run again with other input").click()
    page.get_by_label("Input as JSON").fill('{"day": ')
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("this is no JSON")).to_be_visible()
    expect(page.get_by_label("Input as JSON")).to_have_value('{"day": ')
    page.get_by_label("Input as JSON").fill('{"day": "2026-11-28"}')
    page.get_by_role("button", name="Run again").click()

    expect(page.get_by_role("heading", name="Lineage")).to_be_visible()
    newest = api.items("/v1/runs?task=nightly&limit=1&trigger=rerun")[0]
    assert newest["input"] == {"day": "2026-11-28"}


def test_all_that_failed_alike_is_run_again_after_a_preview(page: Page, api: Api) -> None:
    page.goto("/ui/runs/failures")
    page.get_by_role("button", name=re.compile("no such customer")).click()
    page.get_by_label("Other input for each").fill('{"customer": 7}')
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Nothing is done yet. 3 runs fit: 3 failed")).to_be_visible()
    assert api.items("/v1/runs?task=customers&trigger=rerun") == []

    page.get_by_role("button", name="Run again: 3 runs").click()

    expect(page.get_by_text("Finished,")).to_be_visible()
    expect(page.get_by_role("link", name="done 3")).to_be_visible()
    again = api.items("/v1/runs?task=customers&trigger=rerun")
    assert [each["input"] for each in again] == [{"customer": 7}] * 3


def test_a_log_is_followed_while_the_run_goes_on(page: Page, api: Api) -> None:
    api.task("followed", handler="hold")
    run = api.run("followed")
    wait_entered("followed")
    page.goto(f"/ui/runs/{run['id']}")

    expect(page.get_by_role("log", name="Log of attempt 1")).to_contain_text("holding")
    open_gate("followed")

    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    expect(page.get_by_role("log", name="Log of attempt 1")).to_contain_text("holding")


def test_a_long_log_is_whole(page: Page, api: Api) -> None:
    api.task("talking", handler="talk", input=230)
    run = api.ended(api.run("talking"))

    page.goto(f"/ui/runs/{run['id']}")

    expect(page.get_by_role("log")).to_contain_text("that was all")
    assert page.locator("[data-line]").count() == 231


@pytest.mark.parametrize("width", [390, 1280])
def test_its_pages_have_no_serious_barrier(page: Page, api: Api, width: int) -> None:
    (failed, *_), (fine, *_) = (
        api.items(f"/v1/runs?task={name}") for name in ("nightly", "greeting")
    )
    api.task("swapping", handler="swap", input={"key": "name", "value": "Ada"})
    swapped = api.ended(api.run("swapping"))
    selector = {"selector": {"status": ["failed"]}, "dry_run": True}
    bulk = api.post("/v1/runs/rerun", json=selector).json()
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if width < 400 else "light")
    for path in (
        f"/ui/runs/{failed['id']}",
        f"/ui/runs/{fine['id']}/rerun",
        f"/ui/runs/{swapped['id']}",
        f"/ui/runs/{swapped['id']}/revert",
        "/ui/runs?status=failed&window=1h&show=values",
        "/ui/runs/failures",
        "/ui/runs/bulk",
        "/ui/runs/bulk/new",
        f"/ui/runs/bulk/{bulk['id']}",
    ):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        serious = [each["id"] for each in found if each["impact"] in {"serious", "critical"}]
        assert (path, serious) == (path, [])
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_run_is_repeated_with_a_form_that_has_its_input(page: Page, api: Api) -> None:
    run = api.ended(api.run("greeting", input={"name": "Lovelace", "times": 2}))
    page.goto(f"/ui/runs/{run['id']}")

    page.get_by_role("link", name="Run again with other input").click()
    expect(page.get_by_label("name (needed)")).to_have_value("Lovelace")
    page.get_by_label("times").fill("10")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_label("times")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("times").fill("3")
    page.get_by_role("button", name="Run again").click()

    expect(page.get_by_role("heading", name="Lineage")).to_be_visible()
    newest = api.items("/v1/runs?task=greeting&limit=1&trigger=rerun")[0]
    assert newest["input"] == {"name": "Lovelace", "times": 3}
