"""Measured costs, and documents whose costs once grew faster than their size."""

import contextlib
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

#: By which factor the cost of four times the size may grow.
MOST_GROWTH = 5
_TRIES = 2
_LOOKS = 5
# Below these everything costs about the same: starting a thread, opening a page of memory, looking up a route.
_LEAST_SECONDS = 0.02
_LEAST_BYTES = 300_000

_OPERATION = '{"op":"x"}'
_SCHEDULE = '{"type":"x"}'
_ESCAPE = "\\u0041"

Shape = Callable[[int], str]


def _list_of(item: str, count: int) -> str:
    return f"[{','.join([item] * count)}]"


def _nested(count: int) -> str:
    """Many lists, each with the most levels that are accepted."""
    levels = 50
    return f'{{"input":{_list_of("[" * levels + "]" * levels, count // levels)},"x":"\\u0041"}}'


#: JSON documents of about n parts, by the kind of part.
SHAPES: Mapping[str, Shape] = {
    "fields, one of them twice": lambda n: (
        "{" + "".join(f'"m{index}":0,' for index in range(n)) + '"m0":1}'
    ),
    "objects with a field twice": lambda n: _list_of('{"a":1,"a":2}', n),
    "fields that are not known": lambda n: json.dumps({f"m{index}": 0 for index in range(n)}),
    "fields whose names are long": lambda n: json.dumps(
        {f"{index}{'k' * 100}": 0 for index in range(n // 20)}
    ),
    "a name that is nearly right, again and again": lambda n: json.dumps({"handler" * n: 0}),
    "a long key over many items": lambda n: f'{{"{"k" * n}":{_list_of("0", n)[:-1]},"\\u0041"]}}',
    "a long key over a NUL": lambda n: f'{{"{"k" * n}":{{"{"l" * n}":"\\u0000"}}}}',
    "empty objects": lambda n: _list_of("{}", n),
    "items that are empty": lambda n: f'{{"items":{_list_of("{}", n)}}}',
    "items of the wrong kind": lambda n: f'{{"items":{_list_of("0", n)}}}',
    "items beside others": lambda n: f'{{"items":[],"x":{_list_of("{}", n)}}}',
    "operations that are empty": lambda n: f'{{"operations":{_list_of("{}", n)}}}',
    "operations that are unknown": lambda n: f'{{"operations":{_list_of(_OPERATION, n)}}}',
    "tags of the wrong kind": lambda n: f'{{"handler":"echo","tags":{_list_of("0", n)}}}',
    "seeds with bad names": lambda n: json.dumps({"kv": {f"/{index}": 0 for index in range(n)}}),
    "schedules": lambda n: (
        f'{{"schedule":{{"type":"any_of","schedules":{_list_of(_SCHEDULE, n)}}}}}'
    ),
    "exclusions": lambda n: f'{{"schedule":{{"type":"manual","exclude":{_list_of("{}", n)}}}}}',
    "an input that the handler does not take": lambda n: (
        f'{{"handler":"greet","schedule":{{"type":"manual"}},"input":{_list_of("{}", n)}}}'
    ),
    "levels": _nested,
    "brackets in a text": lambda n: json.dumps({"description": "[{" * n}),
    "quotes in a text": lambda n: json.dumps({"description": '"\\' * n}),
    "escapes": lambda n: f'{{"description":"{_ESCAPE * n}"}}',
    "letters beyond ASCII": lambda n: f'{{"description":"{"ä" * n}\\ud800"}}',
    "digits": lambda n: f'{{"priority":0.{"1" * n}}}',
    "numbers that are too great": lambda n: f'{{"input":{_list_of("1e999", n)}}}',
    "what is not closed": lambda n: "[" * n,
    "numbers": lambda n: _list_of("0", n),
    "a value": lambda n: f'{{"value":{_list_of("0", n)}}}',
    "texts": lambda n: _list_of('"a b"', n),
}


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the least processor time (seconds) of some tries of `work`."""
    return min(_seconds_once(work) for _ in range(_TRIES))


def bytes_of(work: Callable[[], Any]) -> int:
    """Return the peak growth of this process's memory in `work`, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def check_growth(work: Callable[[str], Any], shape: Shape, count: int) -> None:
    """Fail if work on a document of four times as many parts costs more than five times as much.

    Other load on the machine may slow down either measurement. Quadratic work costs 16 times as much on any machine, so
    the best of some tries counts. Where parsing alone grows faster, because the document no longer fits the processor's
    cache, the work may grow by as much more as `json.loads` does in the same look.
    """
    small, large = shape(count), shape(4 * count)
    looks: list[list[float]] = []
    while not looks or (_is_too_much(looks[-1]) and len(looks) < _LOOKS):
        # The first time costs more; of the large one, to do it twice takes longer than all the rest.
        looks.append([seconds_of(lambda: work(small)), _seconds_once(lambda: work(large))])
        if _is_too_much(looks[-1]):
            looks[-1].append(_growth_of_parsing(small, large))
    assert not _is_too_much(looks[-1]), looks
    most = bytes_of(lambda: work(large))
    if most > MOST_GROWTH * _LEAST_BYTES:
        least = bytes_of(lambda: work(small))
        assert most <= MOST_GROWTH * max(least, _LEAST_BYTES), [least, most]


def _is_too_much(look: list[float]) -> bool:
    small, large, *parsing = look
    growth = MOST_GROWTH * max([1, *(factor / 4 for factor in parsing)])
    return large > growth * max(small, _LEAST_SECONDS)


def _growth_of_parsing(small: str, large: str) -> float:
    return seconds_of(lambda: _parse(large)) / max(
        seconds_of(lambda: _parse(small)), _LEAST_SECONDS / 10
    )


def _parse(document: str) -> None:
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(document)


def _seconds_once(work: Callable[[], Any]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began
