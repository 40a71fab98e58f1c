"""The story of one who has read nothing: a task at times of the clock is registered, then moved by an hour."""

import re

from playwright.sync_api import Page, expect

from tests.api.service import Api


def test_a_cron_task_is_registered_without_reading_the_documentation(page: Page, api: Api) -> None:
    page.goto("/ui/new-task")
    page.get_by_label("Name", exact=True).fill("morning-report")
    page.get_by_label("Handler").select_option("echo")
    page.get_by_label("Expression").fill("0 9 * * 1-5")
    page.get_by_label("Time zone").locator("visible=true").fill("Europe/Berlin")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("At 09:00 from Monday to Friday, Europe/Berlin")
    expect(preview.locator("li")).to_have_count(5)
    expect(preview).to_contain_text("It can be registered.")
    page.get_by_role("button", name="See what would change").last.click()
    expect(page.locator("main")).to_contain_text("A new task, active.")
    page.get_by_role("button", name="Register").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("morning-report")
    made = api.read("/v1/tasks/morning-report")["schedule"]
    assert (made["expression"], made["timezone"]) == ("0 9 * * 1-5", "Europe/Berlin")


def test_an_error_is_shown_at_its_field_and_nothing_typed_is_lost(page: Page, api: Api) -> None:
    api.task("evening-report", schedule={"type": "cron", "expression": "0 18 * * *"})
    page.goto("/ui/tasks/evening-report/edit")
    page.get_by_label("Description").fill("What was sold.")
    page.get_by_label("Expression").fill("every evening")
    page.get_by_role("button", name="See what would change").last.click()

    field = page.get_by_label("Expression")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("every evening")
    expect(page.get_by_label("Description")).to_have_value("What was sold.")
    field.fill("0 19 * * *")
    page.get_by_role("button", name="See what would change").last.click()
    expect(page.locator("main")).to_contain_text("0 appear, 0 vanish")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("evening-report")
    assert api.read("/v1/tasks/evening-report")["schedule"]["expression"] == "0 19 * * *"


def test_the_first_request_of_the_documentation_page_succeeds_at_the_first_click(
    page: Page, api: Api
) -> None:
    page.goto("/docs")
    first = page.locator(".opblock-post").first
    first.locator(".opblock-summary").click()
    # The example is for the handlers of the README, which this service does not have.
    body = first.locator("textarea")
    expect(body).to_have_value(re.compile('"hello"'))
    body.fill(body.input_value().replace('"hello"', '"echo"'))
    first.get_by_role("button", name="Execute").click()

    expect(first.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    assert any(each["schedule"]["type"] == "once" for each in api.items("/v1/tasks"))


def test_the_documentation_page_fills_in_nothing_that_would_narrow_a_list(page: Page) -> None:
    page.goto("/docs")
    listing = page.locator("#operations-runs-list_all_v1_runs_get")
    listing.locator(".opblock-summary").click()
    expect(listing.get_by_role("button", name="Execute")).to_be_visible()

    filled = [field.input_value() for field in listing.locator("input").all()]

    assert [value for value in filled if value] == ["50"]  # `limit`
    expect(listing.locator(".response")).to_have_count(3)  # 200, 422 and the general problems
