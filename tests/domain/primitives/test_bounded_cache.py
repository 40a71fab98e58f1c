"""Caches that are bounded by the bytes of what they are asked for."""

import gc
import threading
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from rota.domain.http_target.templates import grammar as template_grammar
from rota.domain.json_schema.compiled import UnusableSchemaError, compiled, size_of
from rota.domain.primitives.bounded_cache import LONGEST, MOST_BYTES, BoundedCache, bounded_cache
from rota.domain.primitives.json import json_text
from rota.store import definitions
from rota.store.scheduling import backfill_rows
from tests.support.factories import define


def test_the_same_check_is_computed_once() -> None:
    asked: list[str] = []

    @bounded_cache(len)
    def twice(text: str) -> str:
        asked.append(text)
        return text * 2

    assert [twice("a"), twice("a"), twice("b"), twice("a")] == ["aa", "aa", "bb", "aa"]
    assert asked == ["a", "b"]


def test_what_fails_is_not_kept() -> None:
    asked: list[str] = []

    @bounded_cache(len)
    def fails(text: str) -> str:
        asked.append(text)
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            fails("a")
    assert asked == ["a", "a"]


def test_none_is_kept_as_any_other_result() -> None:
    asked: list[str] = []

    @bounded_cache(len)
    def nothing(text: str) -> None:
        asked.append(text)

    nothing("a")
    nothing("a")

    assert asked == ["a"]


def test_it_holds_no_more_bytes_than_it_may() -> None:
    cache = BoundedCache[int](most_bytes=1_000, longest=100)

    for number in range(1_000):
        cache.put(number, number, 50)
        assert len(cache) <= 20

    assert len(cache) >= 10


def test_what_is_asked_for_again_and_again_stays() -> None:
    cache = BoundedCache[str](most_bytes=1_000, longest=100)
    cache.put("hot", "it", 50)

    for number in range(1_000):
        cache.put(number, "other", 50)
        assert cache.get("hot") == "it"


def test_what_is_too_long_is_not_kept() -> None:
    cache = BoundedCache[int](most_bytes=1_000, longest=100)

    cache.put("long", 1, 101)

    assert cache.get("long") is None


def test_many_threads_may_use_it_at_once() -> None:
    cache = BoundedCache[int](most_bytes=1_000, longest=100)
    wrong: list[int] = []

    def use(first: int) -> None:
        for number in range(first, first + 2_000):
            cache.put(number % 97, number % 97, 20)
            found = cache.get(number % 89)
            if found not in {None, number % 89}:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number * 7,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert len(cache) <= 50


def _body(size: int, number: int) -> str:
    definition = define(
        handler="http",
        target={"url": "https://example.com", "body": [{}] * (size // 3)},
        description=f"{number}",
    )
    return definitions.write_definition(definition)


def _schedule(size: int, number: int) -> str:
    dates = ",".join(f'"20{day % 90 + 10}-01-{day % 28 + 1:02}"' for day in range(size // 13))
    return f'{{"type":"interval","every":{number + 60},"exclude":[{dates}]}}'


def _template(size: int, number: int) -> str:
    return f"{number}" + ' {{ "a" }}' * min(size // 10, 900) + "x" * max(size - 9_000, 0)


def _schema(size: int, number: int) -> str:
    return json_text.canonical({"allOf": [{"const": f"{number}"}] * (size // 20)})


@pytest.mark.parametrize(
    ("read", "make"),
    [
        (backfill_rows.read_schedule, _schedule),
        (template_grammar.parse, _template),
        (lambda text: compiled(text, masked=True), _schema),
    ],
)
def test_what_clients_have_sent_once_is_not_kept_for_good(read: Any, make: Any) -> None:
    assert _kept(read, [make(2 * LONGEST, number) for number in range(6)]) < 100_000


def test_of_large_definitions_the_latest_are_kept_and_no_others() -> None:
    """Each run of their tasks reads them several times. As empty objects in lists they take the most: 15 MB each."""
    texts = [_body(600_000, number) for number in range(5)]

    assert _kept(definitions.read_definition, texts) < 45_000_000


def _kept(read: Any, texts: Sequence[str]) -> int:
    """Return how many bytes stay when texts but the first have been read for the first time."""
    read(texts[0])
    gc.collect()
    tracemalloc.start()
    for text in texts[1:]:
        read(text)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept


def test_a_compiled_schema_counts_with_what_its_patterns_repeat() -> None:
    text = json_text.canonical({"pattern": "[ab]{2000}"})

    schema = compiled(text, masked=True)

    assert size_of(text, schema) > LONGEST
    assert compiled(text, masked=True) is not schema
    plain = json_text.canonical({"type": "integer"})
    assert compiled(plain, masked=True) is compiled(plain, masked=True)


def test_schemas_that_are_refused_leave_nothing_behind() -> None:
    for number in range(5):
        text = json_text.canonical(
            {"allOf": [{"pattern": rf"\w{{120}}{number}{n}"} for n in range(1_400)]}
        )
        with pytest.raises(UnusableSchemaError, match="its patterns come to"):
            compiled(text, masked=True)


def test_all_that_is_kept_of_one_kind_is_a_few_megabytes() -> None:
    assert MOST_BYTES <= 4_000_000
    assert MOST_BYTES // LONGEST >= 100  # there is room for many
