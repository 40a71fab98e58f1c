"""Stories about one task: why it did not run, running it with other input, and repairing what it keeps."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.service import YEARLY, Api

PATHS = (
    "/ui/tasks/pause?tag=billing",
    "/ui/tasks/report",
    "/ui/tasks/report/run",
    "/ui/tasks/report/kv",
    "/ui/tasks/report/kv/cursor?version=2",
)


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    fields = {"handler": "greet", "input": {"name": "Ada"}, "tags": ["billing"]}
    api.task("report", schedule=YEARLY, description="Sends the report.", **fields)
    api.ended(api.run("report"))
    for page in (1, 2):
        api.put("/v1/tasks/report/kv/cursor", json={"value": {"page": page}})


@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_a_task_has_no_serious_barrier_and_fits_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(path)

    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_why_did_this_task_not_run(api: Api, page: Page) -> None:
    api.post("/v1/tasks/report/pause", json={"reason": "CRM migration"})

    page.goto("/ui/tasks")
    page.get_by_label("Name", exact=True).fill("rep")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="report", exact=True).click()

    expect(page.locator(".explained").first).to_contain_text("Paused since")
    expect(page.locator(".note")).to_contain_text("CRM migration")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("active")
    page.get_by_text("Why did it not run at another time?").click()
    page.get_by_label("Time, or a date").fill("2020-01-01")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator(".why .explained")).to_contain_text("was registered at")


def test_pausing_is_undone_with_one_click(page: Page) -> None:
    page.goto("/ui/tasks/report")
    page.get_by_label("Reason").fill("too early")
    page.get_by_role("button", name="Pause", exact=True).click()

    expect(page.locator(".told")).to_contain_text("Paused")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("active")


def test_running_with_other_input_says_what_is_wrong_at_its_field(page: Page) -> None:
    page.goto("/ui/tasks/report")
    page.get_by_role("link", name="Run with other input").click()
    page.get_by_label("times").fill("99")
    page.get_by_role("button", name="Run with this input").click()

    expect(page.get_by_label("times")).to_have_value("99")
    expect(page.locator(".fault")).to_be_visible()
    page.get_by_label("times").fill("2")
    page.get_by_role("button", name="Run with this input").click()
    expect(page).to_have_url(re.compile(r"/ui/runs/"))


def test_repair_a_kv_entry_and_revert_it(api: Api, page: Page) -> None:
    page.goto("/ui/tasks/report/kv")
    page.get_by_role("link", name="cursor").click()
    page.get_by_label("Value").fill('{"page": 40}')
    api.put("/v1/tasks/report/kv/cursor", json={"value": {"page": 3}})  # by somebody else
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed it")
    expect(page.locator("#present")).to_contain_text('"page": 3')
    expect(page.get_by_label("Value")).to_have_value('{"page": 40}')
    page.get_by_role("button", name="Save over version").click()
    expect(page.locator(".told")).to_contain_text("Saved")
    page.get_by_role("link", name=re.compile("^What version . changed")).first.click()
    expect(page.locator(".difference .added")).to_contain_text('"page": 40')
    page.get_by_role("button", name="Restore version").first.click()
    expect(page.locator(".told")).to_contain_text("Restored")
    assert api.read("/v1/tasks/report/kv/cursor")["value"] == {"page": 3}
