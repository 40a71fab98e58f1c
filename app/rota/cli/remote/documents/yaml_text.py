"""YAML as JSON means it: the rules of YAML 1.2, so that `on`, `10:00`, `no` and `2026-12-25` stay what was written."""

import math
import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml


class YamlError(Exception):
    """A text is no YAML, or has what JSON has not; `str()` names the line."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """PyYAML reads YAML 1.1, where `on` is true, `10:00` is 600 and `2026-12-25` a date; these replace its rules."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:merge", r"^<<$", ["<"]),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    """Return an object; raises for keys that are no texts, and for one that is there twice."""
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key: Hashable = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise _fault(key_node, f"a name must be text; write it in quotes: {key!r}")
        if key in found:
            raise _fault(key_node, f"{key!r} is there twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(str(loader.construct_scalar(node)))
    if not math.isfinite(value):
        raise _fault(node, "the number is too large")
    return value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def load_all(text: str) -> list[Any]:
    """Return the documents of a text, which `---` separates, as JSON values, without empty ones. Raises YamlError."""
    try:
        return [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except yaml.YAMLError as error:
        raise YamlError(_sentence(error)) from None
    except RecursionError:
        raise YamlError("it is nested too deeply") from None


def _fault(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _sentence(error: yaml.YAMLError) -> str:
    """Return what is wrong, with its line: PyYAML's own text runs over several lines."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return problem if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
