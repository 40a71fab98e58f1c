"""The tutorial does what it shows, page after page, as one reader does it."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.programs import ROOT, missing
from tests.docs.reader import Reader, programs_of

TUTORIAL = ROOT / "docs" / "tutorial"
INDEX = (TUTORIAL / "index.md").read_text()
PAGES = [
    TUTORIAL / name for name in re.findall(r"^\d+\. \[.*\]\((\w+\.md)\)$", INDEX, re.MULTILINE)
]


@pytest.mark.slow
def test_the_tutorial_does_what_it_shows_from_its_first_page_to_its_last(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [(page, block) for page in PAGES for block in blocks_of(page)]
    if lacking := missing(programs_of([block for _, block in blocks])):
        pytest.skip(f"not installed: {', '.join(sorted(lacking))}")
    reader = Reader([block for _, block in blocks], tmp_path, programs, monkeypatch)
    try:
        for page, block in blocks:
            try:
                reader.do(block)
            except Exception as error:
                error.add_note(f"in the block at {page.name}:{block.line}")
                raise
    finally:
        reader.close()


def test_the_index_of_the_tutorial_lists_all_pages_in_order() -> None:
    assert sorted(PAGES) == sorted(TUTORIAL.glob("[!i]*.md"))
