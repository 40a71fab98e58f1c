"""A story about two windows: who signs out everywhere in one is told so in the other."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.edge.sockets import Listening
from tests.api.keys.clients import ADMIN, bearer
from tests.api.service import Api, serving


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service that needs a key."""
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        yield service


def _signed_in(chromium: Browser, service: Listening) -> Page:
    page = chromium.new_context(base_url=f"http://localhost:{service.port}").new_page()
    page.goto("/ui/sign-in?next=/ui/system")
    page.get_by_label("API key").fill(ADMIN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#live")).to_have_text("Live")
    return page


def test_the_other_window_says_that_it_is_signed_out(chromium: Browser, service: Listening) -> None:
    first, second = (_signed_in(chromium, service) for _ in range(2))

    first.get_by_role("button", name="Sign out everywhere").click()

    banner = second.locator("#signed-out")
    expect(banner).to_contain_text("You are signed out", timeout=20_000)
    expect(second.locator("#live")).to_have_text("Not live")
    banner.get_by_role("link", name="Sign in again").click()
    expect(second).to_have_url(f"http://localhost:{service.port}/ui/sign-in?next=%2Fui%2Fsystem")
    for page in (first, second):
        page.context.close()
