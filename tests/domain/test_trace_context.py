"""Trace contexts: what is taken in as W3C Trace Context says, and what is passed on."""

import pytest

from rota.domain.trace_context import read_traceparent, traceparent_of_attempt

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (GIVEN, GIVEN),
        (f" {GIVEN}\t", GIVEN),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        # Of the flags only `sampled` is known to version 00.
        (f"00-{TRACE}-{PARENT}-ff", GIVEN),
        # What a later version adds is ignored.
        (f"cc-{TRACE}-{PARENT}-01", GIVEN),
        (f"cc-{TRACE}-{PARENT}-01-what-comes", GIVEN),
    ],
)
def test_a_valid_one_is_kept_in_the_form_of_version_00(given: str, kept: str) -> None:
    assert read_traceparent(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        GIVEN.upper(),
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"cc-{TRACE}-{PARENT}-01more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0\N{ARABIC-INDIC DIGIT ONE}",
        f"{GIVEN}\n",
        f"{GIVEN},{GIVEN}",
    ],
)
def test_an_invalid_one_is_ignored(given: str) -> None:
    assert read_traceparent(given) is None


def test_every_attempt_passes_on_the_trace_with_a_span_of_its_own() -> None:
    spans = {traceparent_of_attempt(GIVEN, run, attempt) for run in "ab" for attempt in (1, 2)}

    assert len(spans) == 4
    for each in spans:
        assert each is not None
        assert read_traceparent(each) == each
        version, trace, span, flags = each.split("-")
        assert (version, trace, flags) == ("00", TRACE, "01")
        assert span != PARENT
    assert traceparent_of_attempt(GIVEN, "a", 1) == traceparent_of_attempt(GIVEN, "a", 1)


def test_the_decision_not_to_sample_is_passed_on() -> None:
    passed = traceparent_of_attempt(f"00-{TRACE}-{PARENT}-00", "a", 1)

    assert passed is not None
    assert passed.endswith("-00")


def test_without_a_trace_none_is_passed_on() -> None:
    assert traceparent_of_attempt(None, "a", 1) is None
