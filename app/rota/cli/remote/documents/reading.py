"""Documents from files and the standard input: JSON, YAML, and JSON lines."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rota.cli.remote.documents import yaml_text

#: What stands for the standard input.
STDIN = "-"


class DocumentError(Exception):
    """A file cannot be read, or has not what it should; `str()` names the file and the place."""


def read_text(path: str) -> str:
    """Return the text of a file, or of the standard input for `-`; raises DocumentError."""
    try:
        if path == STDIN:
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DocumentError(f"{shown(path)} is no text in UTF-8.") from None
    except OSError as error:
        raise DocumentError(f"{shown(path)}: {error.strerror or error}.") from None


def read_documents(path: str) -> list[Any]:
    """Return the documents of a file: JSON is YAML, so one way reads both. Raises DocumentError."""
    return parse_documents(read_text(path), shown(path))


def parse_documents(text: str, name: str) -> list[Any]:
    """Return the documents of a text; `name` is for errors. Raises DocumentError."""
    try:
        return [
            json.loads(text, parse_constant=refuse_constant, object_pairs_hook=_without_doubles)
        ]
    except (ValueError, RecursionError):
        pass  # YAML, or several JSON documents; it says what is wrong with a line
    try:
        return yaml_text.load_all(text)
    except yaml_text.YamlError as error:
        raise DocumentError(f"{name}, {error}.") from None


def read_object(path: str) -> Mapping[str, Any]:
    """Return the one object that a file has; raises DocumentError."""
    found = read_documents(path)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise DocumentError(f"{shown(path)} must have one object.")
    return found[0]


def parse_value(text: str) -> Any:
    """Return what an argument means: JSON, or, where it is none, the text itself.

    Raises DocumentError for what begins as an object or a list and is none: that is a slip, not a text.
    """
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        if text.lstrip().startswith(("{", "[")):
            raise DocumentError(f"{text!r} is not JSON: {error}.") from None
        return text


def lines(path: str) -> Iterator[str]:
    """Yield the lines of a file, or of the standard input, that are not empty; raises DocumentError."""
    try:
        if path == STDIN:
            yield from (each for each in sys.stdin if each.strip())
            return
        with Path(path).open(encoding="utf-8") as file:
            yield from (each for each in file if each.strip())
    except UnicodeDecodeError:
        raise DocumentError(f"{shown(path)} is no text in UTF-8.") from None
    except OSError as error:
        raise DocumentError(f"{shown(path)}: {error.strerror or error}.") from None


def shown(path: str) -> str:
    """Return how errors name a file."""
    return "The standard input" if path == STDIN else path


def refuse_constant(name: str) -> Any:
    """Raise ValueError for what Python reads and JSON has not: NaN, Infinity."""
    raise ValueError(f"{name} is no JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raises ValueError for a name that is there twice, of which one would be lost."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found
