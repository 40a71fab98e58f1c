"""Write the parts of the reference that are made from the code."""

from tests.cli import reference as command_line
from tests.reference.pages import DOCS, PARTS, with_parts

for page in sorted({part.page for part in PARTS}):
    path = DOCS / page
    path.write_text(with_parts(page, path.read_text()))
command_line.PAGE.write_text(command_line.reference())
