"""Looking at every page: light, dark, on a phone; no serious finding of axe."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.api.service import YEARLY, Api

AROUND = tuple(
    f"/ui/{name}"
    for name in (
        *("queues", "holds", "load", "calendars", "handlers", "secrets", "keys", "audit"),
        "system",
    )
)
NAMED = ("/ui/calendars/closed", "/ui/secrets/crm", "/ui/runs/bulk")
PATHS = (
    *("/ui", "/ui/tasks", "/ui/tasks/nightly", "/ui/runs"),
    *("/ui/new-task", "/ui/tasks/nightly/edit"),
    *AROUND,
    *NAMED,
)


@pytest.fixture(scope="module", autouse=True)
def _filled(api: Api) -> None:
    api.task("nightly", schedule=YEARLY, tags=["billing"])
    api.put("/v1/calendars/closed", json={"dates": ["2031-12-24"]})
    api.put(
        "/v1/secrets/crm", json={"value": "a-long-value", "origins": ["https://crm.example.com"]}
    )
    api.task("broken", handler="fail", retry={"max_attempts": 1})
    api.ended(api.run("broken"))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_serious_barrier(page: Page, path: str) -> None:
    page.goto(path)

    found = Axe().run(page).response["violations"]
    serious = [each["id"] for each in found if each["impact"] in {"serious", "critical"}]
    assert serious == []


@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_a_phone_in_the_dark(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = Axe().run(page, options={"runOnly": ["color-contrast"]}).response["violations"]
    assert [each["id"] for each in found] == []
