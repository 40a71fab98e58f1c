"""Make docs/images/dashboard.png: `python -m tests.web.demo`. Needs Chromium on the PATH."""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import ViewportSize, sync_playwright

from tests.acceptance.server import free_port
from tests.support.factories import eventually
from tests.web.demo import handlers
from tests.web.demo.history import make

IMAGE = Path(__file__).parents[3] / "docs" / "images" / "dashboard.png"
MOST_BYTES = 200_000
_SIZE: ViewportSize = {"width": 1280, "height": 585}
_ZONE = "Europe/Berlin"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rota.db"
        make(path, datetime.now(UTC))
        port = free_port()
        environment = {name: each for name, each in os.environ.items() if "ROTA_" not in name} | {
            "ROTA_DATABASE_URL": f"sqlite:///{path}",
            "ROTA_HANDLERS": handlers.__file__,
            "ROTA_PORT": str(port),
        }
        command = [str(Path(sys.executable).with_name("rota")), "serve"]
        with subprocess.Popen(command, env=environment, cwd=folder) as service:
            try:
                eventually(lambda: _is_ready(port), "the service does not start", 60)
                _fill(port)
                _take(f"http://localhost:{port}/ui")
            finally:
                service.kill()  # it is not to wait for runs
    assert IMAGE.stat().st_size < MOST_BYTES


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://localhost:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _fill(port: int) -> None:
    """Do what somebody has done by hand."""
    with httpx.Client(base_url=f"http://localhost:{port}/v1", trust_env=False) as client:
        paused = client.post(
            "/tasks/weekly-report/pause", json={"reason": "the new layout is not ready"}
        )
        paused.raise_for_status()


def _take(url: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(
            viewport=_SIZE, color_scheme="light", locale="en-GB", timezone_id=_ZONE
        )
        page.goto(url)
        page.wait_for_timeout(1_000)
        page.screenshot(path=IMAGE)
        browser.close()


if __name__ == "__main__":
    main()
