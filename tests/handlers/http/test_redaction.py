"""What a target says back of a secret is found however it is written, and nothing else is touched."""

import json
import re
import time
import tracemalloc
from base64 import b64encode, urlsafe_b64encode
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rota.daemon_threads import QUICK_BYTES
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.redaction import LONGEST, Redactor
from rota.egress.requests import Response
from rota.handlers.http.response import without_unread_headers
from rota.handlers.http.secrets import redactor_for

SECRETS = (
    "sk_live_51NxQ8aZ",
    's3c&t/+ "k\\ey" é<1>',
    "pass word+plus%41",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
)

WAYS = {
    "as it is": lambda text: text.encode(),
    "in Latin-1": lambda text: text.encode("latin-1"),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "as JSON": lambda text: json.dumps(text).encode(),
    "as JSON of JSON": lambda text: json.dumps(json.dumps(text)).encode(),
    "as JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False).encode(),
    "as JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/").encode(),
    "percent-encoded": lambda text: quote(text, safe="").encode(),
    "percent-encoded in small letters": lambda text: re.sub(
        "%..", lambda match: match[0].lower(), quote(text, safe="")
    ).encode(),
    "every byte percent-encoded": lambda text: "".join(
        f"%{byte:02X}" for byte in text.encode()
    ).encode(),
    "as a form": lambda text: quote_plus(text).encode(),
    "percent-encoded twice": lambda text: quote(quote(text)).encode(),
    "as HTML": lambda text: escape(text).encode(),
    "as base64": lambda text: b64encode(text.encode()),
    "as base64 of a URL": lambda text: urlsafe_b64encode(text.encode()),
    "as base64, percent-encoded": lambda text: quote(
        b64encode(text.encode()).decode(), safe=""
    ).encode(),
    "as credentials": lambda text: b64encode(f"user:{text}".encode()),
    "as base64 of JSON": lambda text: (
        b64encode(json.dumps({"k": text}, ensure_ascii=False).encode())
        if not set('"\\') & set(text)
        else b""
    ),
    "as OAuth credentials": lambda text: b64encode(f"user:{quote_plus(text)}".encode()),
    "in hexadecimal": lambda text: text.encode().hex().encode(),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_found_however_it_is_written(way: str, secret: str) -> None:
    written = WAYS[way](secret)

    redacted = Redactor([secret]).body(b"before " + written + b" after")

    assert redacted.startswith(b"before ")
    assert redacted.endswith(b" after")
    # Of base64, the characters at the ends may belong to what is around the secret.
    left = (
        redacted.removeprefix(b"before ")
        .removesuffix(b" after")
        .replace(b"[redacted]", b"")
        .strip(b'"\\\xff\xfe')
    )
    assert len(left) <= (20 if "base64" in way or "credentials" in way else 0), redacted


@example(secret='00000"\\b', ways=["html"], before="", after="")
@example(secret='%2500 "\\\\b-and-more', ways=["quote", "html"], before="", after="")
@given(
    secret=st.text(
        st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=8, max_size=40
    ),
    ways=st.lists(st.sampled_from(("json", "quote", "html")), max_size=2),
    before=st.text(st.sampled_from('ab%&\\"{}1 é'), max_size=20),
    after=st.text(st.sampled_from('ab%&\\"{}1 é'), max_size=20),
)
@example(secret='00000"\\b', ways=["html"], before="", after="")
@example(secret="%41-&lt;\\n", ways=["json", "quote"], before="", after="")
def test_what_is_written_with_escapes_has_no_secret_when_it_is_read(
    secret: str, ways: list[str], before: str, after: str
) -> None:
    write = {
        "json": lambda text: json.dumps(text)[1:-1],
        "quote": lambda text: quote(text, safe=""),
        "html": escape,
    }
    written = f"{before}{secret}{after}"
    for way in ways:
        written = write[way](written)

    assert secret not in _read(Redactor([secret]).text(written), ways)


def _read(text: str, ways: list[str]) -> str:
    from html import unescape
    from urllib.parse import unquote

    read = {"json": lambda text: json.loads(f'"{text}"'), "quote": unquote, "html": unescape}
    for way in reversed(ways):
        text = read[way](text)
    return text


@given(st.binary(max_size=300))
def test_what_has_no_secret_stays_as_it_is(data: bytes) -> None:
    assert Redactor(["sk_live_51NxQ8aZ"]).body(data) == data


@pytest.mark.parametrize(
    "way", ["as it is", "percent-encoded", "as JSON", "as base64", "in UTF-16"]
)
def test_the_beginning_of_a_secret_at_the_end_of_what_is_cut_off_goes_too(way: str) -> None:
    secret = 's3c&t/+ "key" é<1>'
    written = WAYS[way](secret).removeprefix(b'"').removesuffix(b'"').removeprefix(b"\xff\xfe")

    before = b"before " * 100
    for length in range(1, len(written)):
        redacted = Redactor([secret]).body(before + written[:length], cut=True)
        assert redacted.endswith(b"[redacted]"), redacted
        assert before.startswith(redacted.removesuffix(b"[redacted]"))


@given(end=st.binary(max_size=16))
def test_the_end_of_what_is_cut_off_does_not_tell_whether_it_is_the_beginning_of_a_secret(
    end: bytes,
) -> None:
    redactor = Redactor(["sk_live_51NxQ8aZ"])
    guessed = b"sk_live_51NxQ8aZ"[: len(end)]

    before = b"x" * 500
    assert redactor.body(before + end, cut=True) == redactor.body(before + guessed, cut=True)


def test_a_secret_that_reaches_into_the_end_of_what_is_cut_off_goes_as_a_whole() -> None:
    redactor = Redactor(["sk_live_51NxQ8aZ"])
    end = 12 * 16

    for inside in range(17):
        data = b"before sk_live_51NxQ8aZ" + b"x" * (end - inside)
        assert redactor.body(data, cut=True).startswith(b"before [redacted]")


def test_a_beginning_at_the_end_of_a_whole_reply_is_no_secret() -> None:
    assert Redactor(["sk_live_51NxQ8aZ"]).body(b"sk_live") == b"sk_live"


def test_the_headers_and_the_body_of_a_reply_are_redacted() -> None:
    redactor = Redactor(["sk_live_51NxQ8aZ"])
    redactor.add("pässword")
    headers = {
        "location": "/?k=sk_live_51NxQ8aZ",
        "x-latin": "pässword",
        "x-utf-8": "pässword".encode().decode("latin-1"),
        "etag": '"é"',
    }

    made = redactor.response(Response(200, headers, b'{"a":"sk_live_51NxQ8aZ"}', truncated=False))

    assert made.headers == {
        "location": "/?k=[redacted]",
        "x-latin": "[redacted]",
        "x-utf-8": "[redacted]",
        "etag": '"é"',
    }
    assert made.body == b'{"a":"[redacted]"}'


@pytest.mark.parametrize("first", ["\x80", "\xa0", "\xbf"])
def test_a_secret_that_is_found_within_a_character_leaves_a_text(first: str) -> None:
    text = Redactor([f"{first}1234567"]).text(
        f"é\u00c0 {bytes([0xC3, ord(first)]).decode()}1234567"
    )

    assert "1234567" not in text
    assert text.startswith("é\u00c0 ")


def test_a_text_without_a_secret_keeps_half_of_a_pair() -> None:
    assert Redactor(["sk_live_51NxQ8aZ"]).text("\ud800 é") == "\ud800 é"


def test_a_long_value_is_found_in_pieces_whose_size_is_bounded() -> None:
    value = "".join(f"{number:05}" for number in range(20_000))[: 2 * LONGEST + 3]

    assert set(Redactor([], [value]).body(f"<{value}>".encode()).split(b"[redacted]")) == {
        b"<",
        b">",
    }
    assert Redactor([value]).body(f"<{value}>".encode()) == b"<[redacted]>"


def test_values_that_a_client_chooses_cannot_crowd_out_those_before_them() -> None:
    others = [f"value-number-{number}" for number in range(500)]
    redactor = Redactor(["sk_live_51NxQ8aZ", *others])

    assert redactor.body(b"sk_live_51NxQ8aZ".hex().encode()) == b"[redacted]"
    assert redactor.body(others[-1].encode()) == b"[redacted]"


def test_what_is_looked_for_has_bounds() -> None:
    headers = {f"X-Key-{number}": f"{number:02}" * 500 for number in range(64)}
    secrets = [OpenedSecret(f"s{number}", f"secret-{number}" * 2) for number in range(64)]
    tracemalloc.start()
    redactor = redactor_for(secrets, headers, secret_input=["t" * 9] * 5_000)
    begun = time.process_time()
    redactor.body(b"sk%5Flive" * 50_000)
    took = time.process_time() - begun
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 32_000_000
    assert took < 4


def test_a_reply_that_is_too_large_for_so_many_secrets_is_cut() -> None:
    redactor = Redactor([], [f"value-number-{number}" for number in range(1_000)])

    made = redactor.response(Response(200, {}, b"x" * 1_048_576, truncated=False))

    assert made.truncated
    assert 300_000 < len(made.body) < 900_000
    assert made.body.endswith(b"x[redacted]")


def test_the_longest_headers_take_little_memory() -> None:
    headers = {f"X-Key-{number}": f"{number}ü /" * 4_096 for number in range(4)}
    tracemalloc.start()
    redactor_for([], headers).text("text")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 64_000_000


def test_headers_count_in_what_a_redaction_costs() -> None:
    small = Response(200, {"location": "/"}, b"{}", truncated=False)
    large = Response(200, {"location": "/" * 60_000}, b"{}", truncated=False)

    assert Redactor(["sk_live_51NxQ8aZ"]).cost(small) <= QUICK_BYTES
    assert Redactor(["sk_live_51NxQ8aZ"]).cost(large) > QUICK_BYTES
    assert Redactor([f"value-number-{number}" for number in range(500)]).cost(small) > QUICK_BYTES


def test_headers_that_nobody_reads_are_not_kept() -> None:
    given = {"location": "/", "content-type": "a/b", "set-cookie": "s=1", "x-large": "x" * 100_000}

    kept = without_unread_headers(Response(200, given, b"", truncated=False))

    assert kept.headers == {"location": "/", "content-type": "a/b"}


def test_short_values_are_not_looked_for() -> None:
    redactor = Redactor(["true", ""])

    assert not redactor
    assert redactor.body(b"true") == b"true"


@pytest.mark.parametrize(
    ("secret", "piece"),
    [
        ("a" * 16_000, b"a" * 15_999 + b"b"),
        ("ab" * 4_000, b"ab" * 3_999 + b"a"),
        ("sk_live_51NxQ8aZ", b"%41\\u0041&amp;"),
        ("sk_live_51NxQ8aZ", b"%25"),
        ("sk_live_51NxQ8aZ", b"sk%5Flive_51NxQ8aZ"),
    ],
)
def test_a_hostile_reply_takes_time_in_proportion_to_its_size(secret: str, piece: bytes) -> None:
    redactor = Redactor([secret])

    def took(size: int) -> float:
        data = (piece * (size // len(piece) + 1))[:size]
        begun = time.process_time()
        redactor.body(data, cut=True)
        return time.process_time() - begun

    took(1_000)
    assert took(400_000) < 40 * max(took(40_000), 0.005)
