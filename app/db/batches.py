"""What waits in a queue, taken together."""

import queue
from typing import TypeVar

T = TypeVar("T")


def next_batch(waiting: queue.SimpleQueue[T | None], most: int) -> list[T] | None:
    """Wait for something; return it and what else waits by now, up to `most`. None, once None (the end) comes first."""
    first = waiting.get()
    if first is None:
        return None
    batch = [first]
    while len(batch) < most:
        try:
            following = waiting.get_nowait()
        except queue.Empty:
            break
        if following is None:
            waiting.put(None)
            break
        batch.append(following)
    return batch
