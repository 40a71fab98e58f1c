"""The screen on a terminal, redrawn until q is pressed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from rich.live import Live
from rich.text import Text

from rota.cli.output import console
from rota.cli.remote.arguments import local_now
from rota.cli.remote.top.keyboard import Keyboard, handling_signals
from rota.cli.remote.top.seen import Seen, Size
from rota.cli.remote.top.watching import Watch

#: Seconds until the size of the terminal, and what is seen, are looked at again.
_TICK: Final = 0.2
_ENDS: Final = frozenset("qQ\x04")

Draw = Callable[[Seen, Size, datetime], Sequence[Text]]


class Terminal:
    """A terminal whose screen a program has for itself between `enter` and `leave`."""

    def __init__(self) -> None:
        self._console = console()
        self._keyboard = Keyboard()
        self._live = Live(
            Text(),
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @property
    def size(self) -> Size:
        """Its size at present."""
        return Size(*self._console.size)

    def enter(self) -> None:
        """Take the screen and the keyboard."""
        self._keyboard.open()
        self._live.start()

    def leave(self) -> None:
        """Give both back as they were."""
        self._live.stop()
        self._keyboard.close()

    def show(self, lines: Sequence[Text]) -> None:
        """Replace what is on the screen."""
        whole = Text("\n", no_wrap=True, overflow="crop").join(lines)
        self._live.update(whole, refresh=True)

    def pressed(self) -> str:
        """Return the keys that are pressed within a moment."""
        return self._keyboard.pressed(_TICK)


@contextmanager
def _entered(terminal: Terminal) -> Iterator[None]:
    try:
        terminal.enter()
        yield
    finally:
        terminal.leave()


def is_end(keys: str) -> bool:
    """Return whether one of some keys ends it: q or Ctrl-D, and not the letters that F2 and others send."""
    return not keys.startswith("\x1b") and not _ENDS.isdisjoint(keys)


def show_until_q(watch: Watch, draw: Draw) -> None:
    """Draw what is seen, each second and when something changes, until q is pressed. Raises what ends the watching."""
    terminal, drawn = Terminal(), None
    with handling_signals() as suspension, _entered(terminal):
        while watch.failure is None:
            wanted = (watch.seen, terminal.size, local_now().replace(microsecond=0))
            if wanted != drawn:
                terminal.show(draw(*wanted))
                drawn = wanted
            if is_end(terminal.pressed()):
                return
            if suspension.is_requested:
                terminal.leave()
                suspension.suspend()
                terminal.enter()
                drawn = None
    raise watch.failure
