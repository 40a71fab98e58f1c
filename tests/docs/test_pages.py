"""Every block of code of the guides does what it shows; the tutorial has a test of its own."""

from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.exceptions import BLOCKS, PAGES
from tests.docs.programs import ROOT, missing
from tests.docs.reader import Reader, programs_of

pytestmark = pytest.mark.slow  # they wait for services, while the tests of other workers compute

DOCS = ROOT / "docs"
PAGES_WITH_CODE = [
    page
    for page in (
        ROOT / "README.md",
        *sorted((DOCS / "guides").rglob("*.md")),
    )
    if "\n```" in page.read_text()
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page", [page for page in PAGES_WITH_CODE if name_of(page) not in PAGES], ids=name_of
)
def test_every_block_of_a_page_does_what_it_shows(
    page: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = blocks_of(page)
    if lacking := missing(programs_of(blocks)):
        pytest.skip(f"not installed: {', '.join(sorted(lacking))}")
    reader = Reader(blocks, tmp_path, programs, monkeypatch)
    try:
        for block in blocks:
            if (name_of(page), block.text.split("\n", 1)[0]) in BLOCKS:
                continue
            try:
                reader.do(block)
            except Exception as error:
                error.add_note(f"in the block at {name_of(page)}:{block.line}")
                raise
    finally:
        reader.close()


def test_every_exception_is_one_of_a_page_that_exists() -> None:
    there = {
        (name_of(page), block.text.split("\n", 1)[0])
        for page in PAGES_WITH_CODE
        for block in blocks_of(page)
    }

    assert BLOCKS.keys() <= there
    assert PAGES.keys() <= {name_of(page) for page in PAGES_WITH_CODE}
