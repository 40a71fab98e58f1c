"""The smallest request that makes an edited task of the present one."""

from collections.abc import Mapping
from typing import Any


def patch_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) from one object to another."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        if name not in before or before[name] != value or type(before[name]) is not type(value):
            patch[name] = _change(before.get(name), value)
    return patch


def _change(before: Any, after: Any) -> Any:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return patch_between(before, after)
    return after


def can_be_patched(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether a merge patch can say it: nulls within a new value would remove members."""
    return not any(_has_null(after[name]) for name in after if before.get(name) != after[name])


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(each is None or _has_null(each) for each in value.values())
    return False
