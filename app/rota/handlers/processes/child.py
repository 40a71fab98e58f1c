"""What runs in a child process: one attempt of a handler with `isolation="process"`."""

import asyncio
import faulthandler
import inspect
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from socket import socket
from threading import Lock, RLock, Thread
from typing import Any, Never

from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWork, OtherTable
from rota.domain.primitives.json_text import printable
from rota.domain.runs.outcomes import Cancelled, CheckpointResult, Outcome
from rota.handlers.calls.capture import JournalHandler
from rota.handlers.kv_migration import upgrade, upgrade_now
from rota.handlers.outcomes import arguments, raised, returned
from rota.handlers.processes import protocol
from rota.handlers.registry import RegisteredHandler, Registry
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import Context, SyncContext
from rota.sdk.kv import Aside, Kv, SyncKv
from rota.sdk.stop import Hook, Hooks, Stop, StopReason, await_hooks, call_hooks

# The service bounds what an attempt says in all; this only keeps a message small.
_MOST_LINE = 65_536


class Channel:
    """The child's end of the connection; also the journal of its attempt."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._lock = RLock()

    def send(self, message: protocol.Message) -> None:
        data = protocol.pack(message)
        with self._lock:
            self._connection.sendall(data)

    def receive(self) -> protocol.Message | None:
        """Wait for a message; None when the service has closed the connection."""
        line = self._incoming.readline()
        return protocol.unpack(line) if line else None

    def line(self, level: str, message: str) -> None:
        self.send({"line": [level, printable(message, _MOST_LINE)]})

    def progress(self, fraction: float | None, message: str | None) -> None:
        said = None if message is None else printable(str(message), _MOST_LINE)
        self.send({"progress": [None if fraction is None else float(fraction), said]})


def serve(connection: socket, registry: Registry) -> Never:
    """Carry out the call that comes through the connection, report its outcome, end the process."""
    channel = Channel(connection)
    first = channel.receive()
    if first is None:
        os._exit(0)
    # A crash in C then leaves a Python traceback among the attempt's lines.
    faulthandler.enable(all_threads=False)
    logging.getLogger().addHandler(JournalHandler(channel))
    _Attempt(channel, registry, protocol.read_order(first)).carry_out()


class _ToldStop(Stop):
    """A stop whose hooks the service knows of, so that it waits for them before it kills."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def add(self, hook: Hook) -> bool:
        known = self.pending
        added = super().add(hook)
        if added and not known:
            self._channel.send({"hooks": "added"})
        return added

    def ran(self) -> None:
        if self.pending:
            self._channel.send({"hooks": "called"})
        super().ran()


class _Attempt:
    def __init__(self, channel: Channel, registry: Registry, order: protocol.Order) -> None:
        self._channel = channel
        self._registry = registry
        self._order = order
        self._stop = _ToldStop(channel)
        #: Has the stop hooks called, and the handler interrupted where that is possible.
        self._interrupt: Callable[[Hooks], Any] = self._call_hooks
        self._draft = AttemptDraft(order.max_value_bytes, order.kv_revision)
        self._answers: SimpleQueue[protocol.Message] = SimpleQueue()
        #: One question at a time, so that each gets its own answer.
        self._asking = Lock()

    def carry_out(self) -> Never:
        Thread(target=self._listen, name="rota-listener", daemon=True).start()
        try:
            handler = self._registry.lookup(self._order.handler)
            if inspect.iscoroutinefunction(handler.function):
                asyncio.run(self._await(handler))
            value = self._call(handler)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            self._end(self._raised(error))
        self._end(self._returned(value))

    def _call(self, handler: RegisteredHandler) -> Any:
        kv = SyncKv(self._draft, self, self._order.info.task)
        context = SyncContext(self._order.info, self._channel, self._stop, self._draft, kv)
        upgrade_now(handler, kv, self._draft)
        return handler.function(context, *arguments(handler, self._order.info.input_json))

    async def _await(self, handler: RegisteredHandler) -> Never:
        """Ends the process by itself: closing the loop would wait for threads that may be stuck."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        aside: Aside = partial(loop.run_in_executor, None)
        kv = Kv(self._draft, self, self._order.info.task, aside)
        context = Context(self._order.info, self._channel, self._stop, self._draft, kv)
        stops: list[asyncio.Task[None]] = []

        def interrupt(hooks: Hooks) -> None:
            stops.append(loop.create_task(self._await_hooks(hooks, task)))

        try:
            self._interrupt = lambda hooks: loop.call_soon_threadsafe(interrupt, hooks)
            if self._stop.asked:
                self._end(Cancelled())
            given = arguments(handler, self._order.info.input_json)
            await upgrade(handler, kv, self._draft)
            value = await handler.function(context, *given)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            self._end(self._raised(error))
        self._end(self._returned(value))

    def _returned(self, value: Any) -> Outcome:
        order = self._order
        try:
            return returned(value, self._draft, order.max_result_bytes)
        except BaseException as error:  # noqa: BLE001  # a result's own code may run
            return self._raised(error)

    def _raised(self, error: BaseException) -> Outcome:
        return raised(error, self._draft, cancelled=self._stop.asked)

    def load_kv(self) -> KvSnapshot:
        """Read the table of the run's own task."""
        return protocol.read_snapshot(self._ask({"load_kv": True}))

    def open_kv(self, task: str) -> OtherTable:
        """Read the table of another task; raises NotFound."""
        return protocol.read_table(self._ask({"open_kv": task}))

    def commit_kv(self, work: KvWork) -> CheckpointResult:
        """Make a check-point; raises LeaseLost, and Unavailable if nobody knows whether it was made."""
        return protocol.read_check_pointed(self._ask({"commit_kv": protocol.work(work)}))

    def _ask(self, question: protocol.Message) -> protocol.Message:
        with self._asking:
            self._channel.send(question)
            answer = self._answers.get()
        if "kv_error" in answer:
            raise protocol.read_kv_error(answer)
        return answer

    def _listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            if "stop" in message:
                self._stop.ask(StopReason(message["stop"]))
                self._interrupt(self._stop.take())
            else:
                self._answers.put(message)

    def _call_hooks(self, hooks: Hooks) -> None:
        # In a thread of their own: one that reads the kv needs the listener.
        if hooks:
            call = partial(call_hooks, self._stop, hooks, self._tell)
            Thread(target=call, name="rota-stop-hooks", daemon=True).start()

    async def _await_hooks(self, hooks: Hooks, task: asyncio.Task[Any]) -> None:
        await await_hooks(self._stop, hooks, self._tell)
        task.cancel()

    def _tell(self, fault: str) -> None:
        self._channel.line("error", fault)

    def _end(self, outcome: Outcome) -> Never:
        for stream in (sys.stdout, sys.stderr):
            # A handler may have closed or replaced them.
            with suppress(Exception):
                stream.flush()
        self._channel.send(protocol.outcome(outcome))
        # At once: neither threads that the handler left behind nor exit handlers hold it up.
        os._exit(0)
