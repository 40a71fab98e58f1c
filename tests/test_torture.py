"""Each long test is in one part, and `make torture` runs each part."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.torture import Part, PartError, part_of, torture

ROOT = Path(__file__).parents[1]
POSTGRESQL, KILLS, COSTS = (
    torture(part).mark for part in (Part.POSTGRESQL, Part.KILLS, Part.COSTS)
)


def test_a_test_without_the_mark_has_no_part() -> None:
    assert part_of([]) is None


@pytest.mark.parametrize("part", Part)
def test_a_long_test_is_in_the_part_of_its_mark(part: Part) -> None:
    assert part_of([torture(part).mark]) is part


def test_a_test_that_is_long_by_itself_is_in_its_own_part_on_postgresql_as_well() -> None:
    assert part_of([KILLS, POSTGRESQL]) is part_of([POSTGRESQL, KILLS]) is Part.KILLS


@pytest.mark.parametrize(
    "marks",
    [
        [pytest.mark.torture.mark],
        [pytest.mark.torture("starving").mark],
        [KILLS, COSTS],
        [KILLS, pytest.mark.torture.mark],
        [KILLS, COSTS, POSTGRESQL],
    ],
    ids=["none", "unknown", "two", "one and none", "two on PostgreSQL"],
)
def test_a_long_test_that_is_not_in_one_part_is_refused(marks: list[pytest.Mark]) -> None:
    with pytest.raises(PartError):
        part_of(marks)


def test_the_suite_does_not_run_with_a_long_test_that_is_in_no_part(tmp_path: Path) -> None:
    """Nor does the default one, which would not run that test."""
    (tmp_path / "test_stray.py").write_text(
        "import pytest\n\n\n@pytest.mark.torture\ndef test_stray() -> None: ...\n"
    )

    refused = _pytest(tmp_path)

    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_stray.py::test_stray: a test of torture has one part" in refused.stderr


def test_a_long_test_whose_file_does_not_name_its_part_is_refused(tmp_path: Path) -> None:
    """It would not be found: other files are not read for a part."""
    (tmp_path / "marks.py").write_text(
        "from tests.support.torture import Part, torture\n\nlong = torture(Part.KILLS)\n"
    )
    (tmp_path / "test_far.py").write_text(
        "from marks import long\n\n\n@long\ndef test_far() -> None: ...\n"
    )

    refused = _pytest(tmp_path, "-o", f"pythonpath={ROOT} {ROOT / 'app'} {tmp_path}")

    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_far.py::test_far: neither its file nor a conftest.py there" in refused.stderr


def test_a_part_has_the_long_tests_with_its_mark(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(LONG)

    shown = _pytest(tmp_path, "-m", "torture", "--part", "kills")

    assert re.findall(r"::test_(\w)", shown.stdout) == ["a", "c"]


LONG = """
from tests.support.torture import Part, torture

@torture(Part.KILLS)
def test_a() -> None: ...

@torture(Part.COSTS)
def test_b() -> None: ...

@torture(Part.KILLS)
def test_c() -> None: ...

def test_d() -> None: ...
"""


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Collect the tests of a folder with the settings of the project and the plugin of the parts."""
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--collect-only"]
    plugins = ["-q", "-p", "no:cacheprovider", "-p", "tests.support.torture"]
    return subprocess.run(
        [*command, *plugins, *arguments, f"--rootdir={folder}", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_torture_runs_each_part_the_quickest_first() -> None:
    (listed,) = re.findall(r"^PARTS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed.split() == list(Part)


def test_each_part_is_described_with_its_time() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    described = re.findall(r"^\| `([\w-]+)` \| .+ \| \d+ \| .*\d min.* \|$", text, re.MULTILINE)
    assert described == list(Part)
