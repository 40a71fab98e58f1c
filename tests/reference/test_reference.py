"""What is made from the code is as the code is now."""

from rota.api.openapi.pages import _TAGS
from tests.reference.api import EXPLAINED
from tests.reference.pages import DOCS, PARTS, with_parts


def test_every_part_that_is_made_from_the_code_is_up_to_date() -> None:
    for page in {part.page for part in PARTS}:
        text = (DOCS / page).read_text()
        assert with_parts(page, text) == text, f"{page} is old: run python -m tests.reference"


def test_every_tag_of_the_api_has_a_page_that_explains_it() -> None:
    assert EXPLAINED.keys() == {tag["name"] for tag in _TAGS}
