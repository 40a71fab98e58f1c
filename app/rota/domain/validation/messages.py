"""Messages for errors of pydantic, in plain English: one sentence for each type of error.

Errors that Rota raises itself (`PydanticCustomError`) have types of their own and say what they say.
"""

from collections.abc import Mapping, Sequence, Sized
from difflib import get_close_matches
from typing import Any

from rota.domain.primitives.json.json_text import kind_of
from rota.domain.primitives.texts.names import (
    KEY_FORM,
    KEY_PATTERN,
    KEY_PREFIX_PATTERN,
    NAME_PATTERN,
    NAME_PREFIX_PATTERN,
    READABLE_KEY_PATTERN,
)
from rota.domain.validation.locations import Place

_TIME = "a time as RFC 3339 with an offset, such as '2026-12-24T17:30:00+01:00'"
_DATE = "a date such as '2026-12-25'"
_DURATION = "a duration such as 90, '15m' or 'PT15M'"
_ID = "an id as Rota gives them, such as '01a20bd8-3c05-7058-ab7c-c61199886531'"
_URL = "a URL such as 'https://app.example.com/jobs'"
_WRONG_KIND = "something else"

#: What to give, where a value is of another type than it should be.
WANTED: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(
        (
            *("float_type", "float_parsing", "decimal_type", "decimal_parsing"),
            *("fraction_type", "fraction_parsing", "complex_type", "complex_str_parsing"),
        ),
        "a number",
    ),
    **dict.fromkeys(
        ("string_type", "string_unicode", "bytes_type", "bytes_invalid_encoding"), "a text"
    ),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(
        (
            *("model_type", "model_attributes_type", "dataclass_type", "dataclass_exact_type"),
            *("dict_type", "frozen_dict_type", "ordered_dict_type", "counter_type", "mapping_type"),
        ),
        "an object",
    ),
    **dict.fromkeys(
        (
            *("list_type", "tuple_type", "set_type", "frozen_set_type", "deque_type"),
            *("iterable_type", "named_tuple_type", "arguments_type"),
        ),
        "a list",
    ),
    **dict.fromkeys(("none_required", "missing_sentinel_error"), "null"),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), _DATE),
    **dict.fromkeys(("date_from_datetime_inexact",), _DATE),
    **dict.fromkeys(("time_type", "time_parsing"), "a time of day such as '09:00'"),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_object_invalid"), _TIME),
    **dict.fromkeys(("datetime_from_date_parsing", "timezone_aware", "timezone_offset"), _TIME),
    **dict.fromkeys(("time_delta_type", "time_delta_parsing"), _DURATION),
    **dict.fromkeys(("uuid_type", "uuid_parsing", "uuid_version"), _ID),
    **dict.fromkeys(("url_type", "url_parsing", "url_syntax_violation", "url_scheme"), _URL),
    **dict.fromkeys(("is_instance_of", "is_subclass_of", "callable_type"), _WRONG_KIND),
    **dict.fromkeys(("ellipsis_error", "needs_python_object"), _WRONG_KIND),
}
#: What is wrong, where it is not the type; with the error's context filled in.
SENTENCES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("missing", "missing_argument", "missing_keyword_only_argument"),
            "missing_positional_only_argument",
        ),
        "this field is required",
    ),
    **dict.fromkeys(
        ("extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"),
        "this field is not known here",
    ),
    "no_such_attribute": "this field is not known here",
    "multiple_argument_values": "this field is given twice",
    **dict.fromkeys(("frozen_field", "frozen_instance"), "this cannot be changed"),
    "invalid_key": "the names of fields are texts",
    **dict.fromkeys(("json_invalid", "json_type"), "this is not JSON"),
    **dict.fromkeys(("recursion_loop", "recursion_depth_exceeded"), "this is nested too deep"),
    **dict.fromkeys(("get_attribute_error", "iteration_error"), "this cannot be read"),
    "default_factory_not_called": "this field is required, since another one is wrong",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give at least {ge}",
    "less_than": "give less than {lt}",
    "less_than_equal": "give at most {le}",
    "multiple_of": "give a multiple of {multiple_of}",
    "finite_number": "give a number that is not infinite",
    "int_parsing_size": "this number has too many digits",
    "string_not_ascii": "give ASCII characters only",
    "set_item_not_hashable": "this cannot be one of several different values",
    "bytes_too_short": "give at least {min_length} bytes",
    "bytes_too_long": "give at most {max_length} bytes",
    "url_too_long": "give at most {max_length} characters",
    "date_past": "give a date in the past",
    "date_future": "give a date that is still to come",
    "datetime_past": "give a time in the past",
    "datetime_future": "give a time that is still to come",
    "timezone_naive": "give a local time, without an offset",
    "decimal_max_digits": "give at most {max_digits} digits",
    "decimal_max_places": "give at most {decimal_places} digits behind the point",
    "decimal_whole_digits": "give at most {whole_digits} digits before the point",
}
#: What a text that does not match its pattern should be.
PATTERNS: Mapping[str, str] = {
    NAME_PATTERN: "1 to 128 letters, digits, '.', '_', '~' or '-', of which the first is a letter or a digit",
    NAME_PREFIX_PATTERN: "the beginning of a name: letters, digits, '.', '_', '~' or '-', of which the first is a "
    "letter or a digit",
    KEY_PATTERN: KEY_FORM,
    READABLE_KEY_PATTERN: "1 to 255 letters, digits, '.', '_', ':', '~' or '-', of which the first is a letter, a "
    "digit or '_'",
    KEY_PREFIX_PATTERN: "the beginning of a key: letters, digits, '.', '_', ':', '~' or '-', of which the first is a "
    "letter, a digit or '_'",
    r"^[A-Za-z0-9][A-Za-z0-9._:/@~-]{0,63}$": "1 to 64 letters, digits, '.', '_', ':', '/', '@', '~' or '-', of "
    "which the first is a letter or a digit",
    r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$": "1 to 64 letters, digits, '.', '_', '~' or '-', of which the first is a "
    "letter or a digit",
    r"^[A-Za-z0-9*][A-Za-z0-9._:~*-]{0,254}$": "a key, or a pattern of keys with '*' in it, of at most 255 letters, "
    "digits, '.', '_', ':', '~', '-' or '*'",
    r"^(\*|[A-Za-z0-9_][A-Za-z0-9._:~-]{0,254}\*?)$": "a key ('cursor'), the beginning of keys with '*' behind it "
    "('seen:*'), or '*' for all of them",
    r"^[a-z0-9][a-z0-9_-]{0,63}$": "1 to 64 lower-case letters, digits, '_' or '-', of which the first is a "
    "letter or a digit",
    r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$": "the name of a header: 1 to 128 letters, digits or one of "
    "!#$%&'*+.^_`|~-",
    r"^[A-Za-z0-9._:-]{1,253}$": "the name or the address of a host, without a scheme or a path",
    r"^(\*|[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\*?)$": "the name of a task ('digest'), the beginning of names with '*' "
    "behind it ('billing-*'), or '*' for all of them",
    r"^[^\x00-\x1f\x7f-\x9f]+$": "a text without control characters, such as line breaks",
    r"^[a-z2-7]{12}$": "the id of a key: 12 of 'a' to 'z' and '2' to '7'",
    r"^([01]\d|2[0-3]):[0-5]\d$": "a time of day, 'HH:MM' (00:00 to 23:59)",
    r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$": "a time of day, 'HH:MM' (00:00 to 24:00)",
}

_CHOICES = frozenset({"literal_error", "enum"})
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
# How alike two names must be, from 0 to 1, for one to be taken for a misspelling of the other.
_NEAR = 0.7
# What is longer is none: names have at most 128 characters. To compare texts takes the product of their lengths.
_LONGEST_MISSPELT = 200
_MOST_LISTED = 14
_MOST_SHOWN = 60


def word(errors: Sequence[Mapping[str, Any]], place: Place) -> str:
    """Return what the errors at one place say, as the end of a sentence; several are those of a union's members.

    Errors without the input that they are about (`include_input=False`) say nothing of it.
    """
    wanted = [_wanted(error) for error in errors]
    if all(wanted):
        return f"give {_joined(list(dict.fromkeys(filter(None, wanted))))}{_but_not(errors[0])}"
    first = next(error for error, noun in zip(errors, wanted, strict=True) if not noun)
    return _sentence(first, place)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return `; did you mean 'x'?` if one of the known names is near, else nothing."""
    if len(name) > _LONGEST_MISSPELT:
        return ""
    by_lower, given = {each.lower(): each for each in known}, name.lower()
    found = get_close_matches(given, by_lower, 1, _NEAR)
    found = found or [each for each in by_lower if len(given) > 1 and each.startswith(given)]
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""


def _wanted(error: Mapping[str, Any]) -> str | None:
    if error["type"] in _CHOICES:
        expected = str(error["ctx"]["expected"])
        return _CONSTANTS.get(expected, expected)
    return WANTED.get(error["type"])


def _joined(nouns: list[str]) -> str:
    if "a number" in nouns:
        nouns = [noun for noun in nouns if noun != "a whole number"]
    *most, last = nouns
    return f"{', '.join(most)} or {last}" if most else last


def _but_not(error: Mapping[str, Any]) -> str:
    if "input" not in error:  # it may be secret
        return ""
    given = error["input"]
    if error["type"] in _CHOICES:
        expected = [
            each.strip(" '") for each in error["ctx"]["expected"].replace(" or ", ",").split(",")
        ]
        return f", not {_shown(given)}{nearest(given, expected) if isinstance(given, str) else ''}"
    if error["type"].endswith(("_parsing", "_from_float")):
        return f", not {_shown(given)}"
    # For a value of the right type (a text that is no URL) the message does not name its type.
    return "" if kind_of(given) == WANTED[error["type"]] else f", not {kind_of(given)}"


def _shown(given: Any) -> str:
    if isinstance(given, str):
        return repr(given if len(given) <= _MOST_SHOWN else f"{given[:_MOST_SHOWN]}…")
    return str(given) if type(given) in (int, float) and abs(given) < 10**15 else kind_of(given)


def _sentence(error: Mapping[str, Any], place: Place) -> str:  # noqa: PLR0911  # a table of cases
    context: Mapping[str, Any] = error.get("ctx") or {}
    match error["type"]:
        case "missing" if error["msg"] != "Field required":  # an error of ours
            return str(error["msg"])
        case "extra_forbidden":
            return f"this field is not known here{_hint(str(error['loc'][-1]), place.known)}"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long" as kind:
            return _length(kind, context, error.get("input"))
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            return f"give {PATTERNS.get(pattern, f'a text that matches {pattern}')}"
        case "union_tag_invalid" | "union_tag_not_found":
            return _tag(error, context, place)
        case "value_error" | "assertion_error":
            return str(context["error"])
        case kind:
            if kind not in SENTENCES:  # an error of ours
                return str(error["msg"])
            return SENTENCES[kind].format_map(
                {name: _number(value) for name, value in context.items()}
            )


def _number(value: Any) -> str:
    """Return a bound as it is written: 1 and not 1.0, 10,000 and not 10000."""
    if type(value) not in (int, float):
        return str(value)
    return f"{int(value) if value == int(value) else value:,}"


def _hint(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    if near or not known or len(known) > _MOST_LISTED:
        return near
    return f"; there are: {', '.join(known)}"


def _length(kind: str, context: Mapping[str, Any], given: Any) -> str:
    bound, number = next(
        (bound, context[name])
        for name, bound in (("min_length", "at least"), ("max_length", "at most"))
        if name in context
    )
    if number == 1 and bound == "at least":
        return "this must not be empty"
    things = (
        "characters"
        if kind.startswith("string") or isinstance(given, str)
        else "fields"
        if isinstance(given, dict)
        else "items"
    )
    things = things if number != 1 else things.removesuffix("s")
    there = f", not {len(given):,}" if isinstance(given, Sized) else ""
    return f"give {bound} {number:,} {things}{there}"


def _tag(error: Mapping[str, Any], context: Mapping[str, Any], place: Place) -> str:
    discriminator = str(context.get("discriminator", "type")).strip("'")
    known = (
        _joined([repr(tag) for tag in place.tags])
        if place.tags
        else context.get("expected_tags", "")
    )
    if error["type"] == "union_tag_not_found":
        return (
            f"this field is required: it says which kind it is, {known}"
            if known
            else "this field is required"
        )
    if "input" not in error:
        return f"give {known}"
    tag = str(context["tag"])
    return f"there is no {discriminator} {_shown(tag)}; give {known}{nearest(tag, place.tags)}"
