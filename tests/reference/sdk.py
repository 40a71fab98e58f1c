"""What a module offers to its users, from signatures, docstrings and the comments `#:` of attributes."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import cached_property
from importlib import import_module
from typing import Any, get_overloads

_SET = re.compile(r"^((?: +#: .*\n)*) +self\.([a-z]\w*) = ", re.MULTILINE)
_FIELD = re.compile(r"^((?: {4}#: .*\n)*) {4}([a-z]\w*): ([^=\n]+?)(?: = .*)?$", re.MULTILINE)
_MEMBER = re.compile(r'^    ([A-Z_]+) = "(\w+)"(?:  # (.*))?$', re.MULTILINE)


def members_of(module: str, *names: str) -> str:
    """Return a section for each of these names of a module."""
    there = import_module(module)
    things = [getattr(there, name) for name in names]
    return "\n".join(_section(*each, things) for each in zip(names, things, strict=True))


def _section(name: str, thing: Any, things: Sequence[Any]) -> str:
    if not inspect.isclass(thing):
        ways = (f"`{name}{_signature(each)}`" for each in get_overloads(thing) or [thing])
        return "\n\n".join([f"## `{name}`", *ways, f"{_document(thing)}\n"])
    lines = list(_members(thing, things))
    listed = "\n" + "".join(f"- {line}\n" for line in lines) if lines else ""
    made = _parameters(thing)
    shown = f"`{name}{made}`\n\n" if made else ""
    return f"## `{name}`\n\n{shown}{_document(thing)}\n{listed}"


def _parameters(thing: type) -> str:
    """Return how an object is made, if its users make it: those of a run are given to the handler."""
    if not (issubclass(thing, Exception) or thing.__name__ == "Driver"):
        return ""
    return _signature(vars(thing)["__init__"]) if "__init__" in vars(thing) else ""


def _members(thing: type, things: Sequence[Any]) -> Iterator[str]:
    """Yield a line for each member, but for those of a class that has a section of its own."""
    if issubclass(thing, Enum):
        for _, value, meaning in _MEMBER.findall(inspect.getsource(thing)):
            yield _told(value, meaning)
        return
    classes = [thing, *(each for each in thing.__mro__[1:] if each not in things)]
    ours = [each for each in classes if each.__module__.startswith("rota.")]
    for each in reversed(ours[:1] if issubclass(thing, Exception) else ours):
        yield from _attributes(each)
    for name, member in _own(ours):
        if isinstance(member, property | cached_property):
            yield _told(name, _line(_getter(member)))
        else:
            awaited = "await " * inspect.iscoroutinefunction(member)
            yield _told(f"{awaited}{name}{_signature(member)}", _line(member))


def _told(name: str, meaning: str) -> str:
    return f"`{name}`: {meaning}" if meaning else f"`{name}`"


def _own(classes: Sequence[type]) -> Iterator[tuple[str, Any]]:
    """Yield the public members of classes, in the order of the code; the first class that has a name counts."""
    seen: set[str] = set()
    for each in classes:
        if not issubclass(each, Exception):
            for name, member in vars(each).items():
                if not name.startswith("_") and name not in seen and _is_documented(member):
                    seen.add(name)
                    yield name, inspect.unwrap(member) if callable(member) else member


def _is_documented(member: Any) -> bool:
    return callable(member) or isinstance(member, property | cached_property)


def _attributes(thing: type) -> Iterator[str]:
    """Yield what a class says of its attributes: those of a dataclass, or those that `__init__` sets."""
    if hasattr(thing, "__dataclass_fields__"):
        for comment, name, kind in _FIELD.findall(inspect.getsource(thing)):
            yield _told(f"{name}: {kind}", _of_comment(comment))
    elif "__init__" in vars(thing):
        for comment, name in _SET.findall(inspect.getsource(vars(thing)["__init__"])):
            yield _told(name, _of_comment(comment))


def _of_comment(comment: str) -> str:
    return " ".join(comment.replace("#:", "").split())


def _getter(member: Any) -> Any:
    return member.fget if isinstance(member, property) else member.func


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    text = str(signature.replace(parameters=parameters))
    text = re.sub(r" -> (?:None|F|H|Self|'.*?')$", "", text)
    text = re.sub(r"~|\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text)
    text = re.sub(r"Union\[([^\[\]]*)\]", lambda found: found[1].replace(", ", " | "), text)
    return re.sub(r"<Unset.*?>", "…", text)


def _document(thing: Any) -> str:
    """Return a docstring as it is: it is Markdown."""
    return inspect.getdoc(thing) or ""


def _line(thing: Any) -> str:
    """Return a docstring on one line."""
    return " ".join(_document(thing).split())
