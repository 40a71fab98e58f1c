"""The reference of the command line is that of the program."""

from tests.cli.reference import PAGE, reference


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text() == reference(), "run: python -m tests.cli.reference"
