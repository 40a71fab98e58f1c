"""Chromium for the stories (`make torture PART=browser`); without one on the PATH they are skipped."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.api.edge.sockets import Listening, listening
from tests.api.service import Api, serving
from tests.api.test_encryption import OLD
from tests.support.torture import Part, torture

_HERE = Path(__file__).parent
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(tryfirst=True)  # before the long tests are deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(torture(Part.BROWSER))


# Not for the session: while Playwright runs, its event loop is that of the thread, and other tests have their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser is on the PATH ({', '.join(_NAMES)}): apt install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service of this machine, which needs no key; modules fill it."""
    with serving(another_database("sqlite"), encryption_keys=(OLD,)) as service:
        yield service


@pytest.fixture(scope="module")
def service(api: Api) -> Iterator[Listening]:
    with listening(api) as made:
        yield made


@pytest.fixture
def page(chromium: Browser, service: Listening) -> Iterator[Page]:
    """A new window; it fails the test if a page asks another host for something, or a script fails."""
    context = chromium.new_context(base_url=f"http://localhost:{service.port}")
    page, faults = context.new_page(), list[str]()
    own = f"http://localhost:{service.port}/"
    page.on("request", lambda sent: None if sent.url.startswith(own) else faults.append(sent.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: faults.append(message.text) if "Content Security" in message.text else None,
    )
    yield page
    context.close()
    assert faults == []
