"""What the messages of a group of failures have in common, as a text that finds them."""

import re
from itertools import chain
from typing import Final

_PLACEHOLDER: Final = re.compile(r"<(?:n|hex|id)>|…")
#: A shorter text finds too much.
_SHORTEST: Final = 3
_LONGEST: Final = 200


def common_text(grouped: str, example: str) -> str | None:
    """Return the longest part of a group's message that has no placeholder and stands in the message of an example.

    A message of several lines is grouped as one line, so that a part of it may not stand in the example.
    """
    lines = [" ".join(line.split()) for line in example.splitlines()]
    parts = [part.strip() for part in _PLACEHOLDER.split(grouped)]
    candidates = chain(parts, lines)
    fitting = [each for each in candidates if _is_of_all(each, grouped) and each in example]
    longest = max(fitting, key=len, default="")
    return longest[:_LONGEST] if len(longest) >= _SHORTEST else None


def _is_of_all(text: str, grouped: str) -> bool:
    return bool(text) and text in grouped and not _PLACEHOLDER.search(text)
