"""Stories about reading: long names hide nothing, and a page that is not live does not say so."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.api.service import YEARLY, Api

LONG = "a-very-long-name." + "x" * 100


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    tag = "a-tag-that-is-rather-long-and-does-not-end-soon-but-goes-on-" + "y" * 4
    api.task(LONG, schedule=YEARLY, tags=[tag], kv={"k" * 200: "v"})
    api.task("talking", handler="talk", input=2, retry={"max_attempts": 1})
    api.task("broken", handler="fail", retry={"max_attempts": 1})
    cron = {"type": "cron", "expression": "0 2 * * 3", "timezone": "America/Argentina/Buenos_Aires"}
    api.task("nightly", schedule=cron)
    for name in (LONG, "talking", "broken"):
        api.ended(api.run(name))


@pytest.mark.parametrize(
    "path", ["/ui/tasks", f"/ui/tasks/{LONG}/kv", "/ui/runs", "/ui", "/ui/audit"]
)
def test_a_long_name_does_not_push_columns_out_of_sight(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(path)

    for table in page.locator("table").all():
        assert table.evaluate("each => each.scrollWidth <= each.clientWidth"), path


def test_a_short_name_is_not_broken_for_it(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/ui/audit")

    action = page.get_by_role("link", name="task.declared").first
    assert len(action.evaluate("each => [...each.getClientRects()]")) == 1


def test_what_happened_is_in_sight_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/ui/runs?task=broken")

    cell = page.locator("table.runs tbody td.what").first
    assert cell.evaluate("each => each.getBoundingClientRect().right") <= 390
    assert cell.evaluate("each => each.getBoundingClientRect().width") >= 80


def test_the_next_times_of_a_task_are_in_sight(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/ui/tasks/nightly")

    table = page.locator("table.next")
    assert table.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_the_palette_says_when_nothing_is_called_so(page: Page) -> None:
    page.goto("/ui/runs")
    page.keyboard.press("/")
    page.keyboard.type("no such thing")

    expect(page.get_by_text("Nothing is called so")).to_be_in_viewport()
    box = page.locator("#palette-status").bounding_box()
    assert box is not None
    assert box["height"] > 10


def test_the_times_of_a_log_are_those_of_the_page(page: Page) -> None:
    page.goto("/ui/runs?task=talking")
    page.get_by_role("link", name="Run of talking").first.click()

    line = page.locator(".log time").first
    at = line.get_attribute("datetime") or ""
    expected = page.evaluate("at => new Date(at).toTimeString().slice(0, 8)", at)
    assert line.inner_text().startswith(expected)
    assert re.fullmatch(r"\d\d:\d\d:\d\d[.,]\d{3}", line.inner_text())


def test_a_page_that_gets_no_events_is_not_live_until_it_does_again(api: Api, page: Page) -> None:
    page.route("**/ui/api/v1/events", lambda route: route.fulfill(status=503))
    page.goto("/ui/tasks")
    button = page.locator("#live")
    expect(button).to_have_text("Not live")

    page.unroute("**/ui/api/v1/events")
    expect(button).to_have_text("Live", timeout=20_000)

    api.task("made-afterwards", schedule=YEARLY)
    expect(page.get_by_role("link", name="made-afterwards", exact=True)).to_be_visible()
