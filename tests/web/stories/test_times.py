"""Stories about times: in which zone they are is seen, wherever one is, and on a phone they can be read."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.edge.sockets import Listening
from tests.api.service import Api

PLACE = "America/New_York"
CRON = {"type": "cron", "expression": "0 3 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    api.task("nightly", schedule=CRON)
    api.ended(api.run("nightly"))


@pytest.fixture
def abroad(chromium: Browser, service: Listening) -> Iterator[Page]:
    """A window of somebody in New York."""
    context = chromium.new_context(
        base_url=f"http://localhost:{service.port}", timezone_id=PLACE, locale="en-US"
    )
    yield context.new_page()
    context.close()


def test_a_list_names_the_zone_of_its_times_once(abroad: Page) -> None:
    abroad.goto("/ui/runs")

    expect(abroad.get_by_role("columnheader", name=f"Scheduled for {PLACE}")).to_be_visible()
    time = abroad.locator("td time").first
    assert "GMT" not in time.inner_text()
    assert PLACE in (time.get_attribute("title") or "")
    assert (time.get_attribute("datetime") or "").endswith("Z")


def test_a_time_outside_of_a_list_has_its_zone_beside_it(abroad: Page) -> None:
    abroad.goto("/ui/runs")
    abroad.get_by_role("link", name="Run of nightly").first.click()

    made = abroad.locator("dt", has_text="Made").locator("xpath=following-sibling::dd[1]")
    assert made.inner_text().endswith(("EST", "EDT"))


def test_the_next_times_of_a_task_take_two_lines_on_a_phone_at_most(abroad: Page) -> None:
    abroad.set_viewport_size({"width": 390, "height": 800})
    abroad.goto("/ui/tasks/nightly")

    table = abroad.locator("table.next")
    line = float(table.evaluate("each => parseFloat(getComputedStyle(each).lineHeight)"))
    heights = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(each => each.getBoundingClientRect().height)"
    )
    assert max(heights) < 3 * line
    assert table.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_the_strip_says_of_runs_that_are_close_together_how_many(api: Api, abroad: Page) -> None:
    for _ in range(3):
        api.ended(api.run("nightly"))

    abroad.goto("/ui")

    expect(abroad.locator(".strip .several")).to_have_count(1)
    expect(abroad.locator(".strip a title")).to_contain_text(["4 runs from"])
