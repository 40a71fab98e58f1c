"""Stories: everything is stopped for an hour and goes on again; a key is made; the keyboard leads to pages."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.service import YEARLY, Api


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    api.task("nightly", schedule=YEARLY, queue="mail")


def test_everything_is_stopped_for_an_hour_and_goes_on_again(page: Page, api: Api) -> None:
    page.goto("/ui")
    page.get_by_role("link", name="Holds", exact=True).click()
    page.get_by_label("Reason").fill("the database moves")
    page.get_by_role("button", name="Hold", exact=True).click()

    expect(page.get_by_text("Everything is held: the database moves")).to_be_visible()
    expect(
        page.get_by_role("cell", name="in 1 h").or_(page.get_by_text("in 59 min"))
    ).to_be_visible()
    assert api.read("/v1/holds/everything")["status"] == "active"
    page.goto("/ui/tasks")
    expect(page.get_by_text("Everything is held")).to_be_visible()
    page.goto("/ui/holds")
    page.get_by_role("button", name="End the hold everything").click()
    expect(page.get_by_text("Nothing is held.")).to_be_visible()
    expect(page.get_by_text("Everything is held")).to_have_count(0)


def test_a_queue_is_paused_and_the_first_page_says_so(page: Page) -> None:
    page.goto("/ui/queues")
    page.get_by_role("button", name="Pause the queue mail").click()
    expect(page.get_by_role("button", name="Resume the queue mail")).to_be_visible()

    page.goto("/ui")
    expect(page.get_by_text("queue paused")).to_be_visible()
    page.goto("/ui/queues")
    page.get_by_role("button", name="Resume the queue mail").click()
    expect(page.get_by_role("button", name="Pause the queue mail")).to_be_visible()


def test_the_keyboard_leads_to_pages(page: Page) -> None:
    page.goto("/ui")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page).to_have_url(
        "http://localhost:" + page.url.split(":")[2].split("/")[0] + "/ui/tasks"
    )
    page.wait_for_load_state()  # the keys are of its script

    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()


def test_the_load_comes_after_the_first_page(page: Page) -> None:
    page.goto("/ui")

    expect(page.get_by_role("heading", name="Due in the coming week")).to_be_visible()


def test_a_reader_sees_how_much_is_new(page: Page, api: Api) -> None:
    page.goto("/ui")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_be_visible()

    api.ended(api.run("nightly"))
    chip = page.get_by_role("button", name="new")
    expect(chip).to_be_visible()
    chip.click()
    expect(page.get_by_role("cell", name="Run of nightly, succeeded")).to_be_visible()
    expect(chip).to_be_hidden()


def test_the_palette_leads_to_tasks_pages_and_actions(page: Page, api: Api) -> None:
    page.goto("/ui")
    page.wait_for_load_state()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="A page")
    expect(field).to_be_focused()
    options = page.get_by_role("listbox").get_by_role("option")
    expect(options.filter(has_text="Bulk operations")).to_have_count(1)
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []

    field.fill("night")
    expect(options.first).to_have_text("nightly Task")
    expect(field).to_have_attribute("aria-activedescendant", "palette-0")
    field.press("Enter")
    expect(page.get_by_role("heading", level=1, name="nightly")).to_be_visible()

    page.wait_for_load_state()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="A page").fill("pause")
    expect(options.first).to_have_text("Pause On this page")
    page.get_by_role("combobox", name="A page").press("Enter")
    expect(page.get_by_text("nothing fires until it is resumed")).to_be_visible()
    assert api.read("/v1/tasks/nightly")["status"] == "paused"
    page.get_by_role("button", name="Search").click()  # it is there when its script is
    page.get_by_role("combobox", name="A page").fill("hold")
    page.get_by_role("combobox", name="A page").press("Enter")
    expect(page.get_by_role("heading", level=1, name="Holds")).to_be_visible()


def test_a_calendar_is_set_and_deleted_by_its_name(page: Page, api: Api) -> None:
    page.goto("/ui/calendars")
    form = page.locator("form", has=page.get_by_role("button", name="Set"))
    form.get_by_label("Name").fill("closed")
    form.get_by_role("textbox", name="Dates").fill("2031-12-24\n2031-12-31")
    form.get_by_role("button", name="Set").click()

    expect(page.get_by_role("heading", level=1, name="Calendar closed")).to_be_visible()
    assert api.read("/v1/calendars/closed")["dates"] == ["2031-12-24", "2031-12-31"]
    page.get_by_label("Type its name").fill("closed")
    page.get_by_role("button", name="Delete the calendar").click()
    expect(page.get_by_text("There is no calendar yet")).to_be_visible()
