"""What the distribution brings works in a project of a user, which has a package `app` of its own."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from email import message_from_string
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

from tests.acceptance.launching import ROOT, Installed, environment
from tests.acceptance.server import PATIENCE, Server
from tests.handlers.bench import BUILT_IN_NAMES
from tests.support.torture import Part, torture

JOBS = '''
"""The handlers of a shop."""

from pydantic import BaseModel

from rota import Context, Fail, Retry, handler


class Order(BaseModel):
    number: int


@handler("remind", timeout="30s")
async def remind(ctx: Context, input: Order) -> dict[str, int]:
    if input.number < 0:
        raise Fail("there is no such order")
    if input.number == 0:
        raise Retry(after=60, reason="not yet")
    sent = int(await ctx.kv.get("sent", 0)) + 1
    await ctx.kv.set("sent", sent)
    return {"sent": sent}
'''
TESTS = """
from app.jobs import remind
from rota.testing import Driver


def test_three_reminders() -> None:
    driver = Driver(now="2026-03-01T00:00:00Z")
    daily = {"type": "cron", "expression": "0 9 * * *"}
    driver.register("orders", handler=remind, input={"number": 7}, schedule=daily)
    driver.advance("3d")
    assert driver.kv("orders")["sent"] == 3
"""
WRONG = """
from rota import Context, handler


@handler("wrong")
async def wrong(ctx: Context) -> None:
    ctx.kv.get_all_at_once()
"""

BIN = Path(sys.executable).parent
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


class Project(NamedTuple):
    """A folder with the sources of a user, and an environment into which the wheel is installed."""

    folder: Path
    python: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=8 * PATIENCE,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from this tree, without a registry."""
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", "--no-build-isolation", "--out-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Install the wheel beside the sources of a user; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "jobs.py").write_text(JOBS)
    (folder / "test_jobs.py").write_text(TESTS)
    _uv("venv", "--no-project", str(folder / ".venv"))
    python = folder / ".venv" / "bin" / "python"
    _uv("pip", "install", "--python", str(python), "--no-deps", "--compile-bytecode", str(wheel))
    # Python does not read the .pth files of a folder that a .pth file names: this tree stays out of sight.
    [packages] = (folder / ".venv" / "lib").glob("*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Project(folder, python)


def test_the_wheel_has_one_top_level_package_with_its_types_and_migrations(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = message_from_string(archive.read(metadata).decode())
        scripts = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()

    assert {name.split("/")[0] for name in names} == {"rota", metadata.split("/")[0]}
    assert described["Name"] == "rota"
    assert "rota = rota.cli:app" in scripts
    assert "rota/py.typed" in names
    migrations = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}
    assert {f"rota/db/alembic/versions/{name}" for name in migrations} <= names
    documents = {
        str(path.relative_to(ROOT))
        for folder in ("docs", "examples", "deploy")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in {".md", ".yml", ".json", ".mjs"}
    }
    assert {f"rota/web/guide/documents/{path}" for path in documents} <= names
    sources = {str(path.relative_to(ROOT / "app")) for path in (ROOT / "app").rglob("*.py")}
    assert sources <= names


def test_a_project_tests_its_handlers_in_its_own_package_app(project: Project) -> None:
    tested = project.run("-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    found = project.run("-c", "import app, rota; print(app.__file__, rota.__file__)")

    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr
    assert all(Path(each).is_relative_to(project.folder) for each in found.stdout.split())


@pytest.mark.slow
@on_sqlite
def test_the_service_finds_handlers_in_a_package_app_of_the_user(
    project: Project, serve: Callable[..., Server]
) -> None:
    program = Installed(project.python.with_name("rota"), project.folder)
    server = serve(program, handlers="app.jobs")
    server.start()

    server.call(
        "PUT",
        "/v1/tasks/orders",
        json={"handler": "remind", "input": {"number": 7}, "schedule": {"type": "manual"}},
    )
    started = server.call("POST", "/v1/tasks/orders/run")
    run = server.call("GET", f"/v1/runs/{started['id']}?wait=20")

    assert {each["name"] for each in server.items("/v1/handlers")} == {
        "remind",
        *BUILT_IN_NAMES,
    }
    assert (run["status"], run["result"]) == ("succeeded", {"sent": 1})


@torture(Part.TOOLS)  # a start of a process more, and `test_starting` migrates from the sources
def test_the_migrations_of_the_wheel_create_the_tables(project: Project, tmp_path: Path) -> None:
    program = [str(project.python.with_name("rota")), "db", "upgrade"]
    url = f"sqlite:///{tmp_path}/rota.db"

    migrated = subprocess.run(
        program, env=environment(database_url=url), capture_output=True, text=True, check=True
    )

    assert "schema" in migrated.stdout


@torture(Part.TOOLS)  # mypy reads the whole of pydantic
def test_mypy_strict_knows_the_types_of_what_handlers_use(project: Project, tmp_path: Path) -> None:
    (project.folder / "wrong.py").write_text(WRONG)
    mypy = ("-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--python-executable")

    right = project.run(*mypy, str(project.python), "app/jobs.py", "test_jobs.py")
    wrong = project.run(*mypy, str(project.python), "wrong.py")

    assert right.returncode == 0, right.stdout + right.stderr
    assert 'has no attribute "get_all_at_once"' in wrong.stdout


@torture(Part.TOOLS)  # uv installs what the wheel depends on: from its cache, or from a registry
@on_sqlite
def test_uvx_serves_from_the_wheel_alone(
    wheel: Path, serve: Callable[..., Server], project: Project, tmp_path: Path
) -> None:
    starter = tmp_path / "rota"
    starter.write_text(f'#!/bin/sh\nexec "{BIN / "uvx"}" --from "{wheel}" rota "$@"\n')
    starter.chmod(0o755)
    prepared = subprocess.run([starter, "version"], capture_output=True, text=True, check=False)
    if "No solution found" in prepared.stderr or "Failed to fetch" in prepared.stderr:
        pytest.skip("no registry and no cache of uv has the dependencies")
    assert prepared.returncode == 0, prepared.stderr

    server = serve(Installed(starter, tmp_path), handlers=project.folder / "app" / "jobs.py")

    try:
        server.start(within=300)
        names = {each["name"] for each in server.items("/v1/handlers")}
    finally:  # uvx passes the signal on to its child, which SIGKILL would leave behind
        server.terminate()
        server.wait()

    assert names == {
        "remind",
        *BUILT_IN_NAMES,
    }


def _uv(*arguments: str) -> None:
    subprocess.run(
        [BIN / "uv", "--quiet", "--offline", *arguments],
        check=True,
        timeout=4 * PATIENCE,
        env=environment() | {"UV_PYTHON": sys.executable, "VIRTUAL_ENV": sys.prefix},
    )
