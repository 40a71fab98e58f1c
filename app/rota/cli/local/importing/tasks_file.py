"""`tasks.yaml`, as an import writes it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

#: Texts that mean the same without quotes in YAML 1.1 and 1.2, which differ about `on`, `10:00` and `1e5`.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.~/-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it has no types
    """Writes texts in quotes, unless they are plain words."""

    def ignore_aliases(self, data: object) -> bool:
        """Write what is there twice twice."""
        del data
        return True


def _text(dumper: _Dumper, text: str) -> Any:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def as_yaml(owner: str, tasks: Sequence[Mapping[str, Any]], source: str) -> str:
    """Return the text of a tasks.yaml."""
    document = {"owner": owner, "tasks": [*map(dict, tasks)]}
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"# From {source}. Look at it, then: rota apply -f tasks.yaml\n{body}"
