"""A process that ends with the one that has started it, however that ends."""

import os
import signal
import sys
from threading import Thread


def end_with_parent() -> None:
    """End this process, as SIGTERM does, when the pipe is closed whose number is the last argument of the program.

    Only the parent has the other end of it, so it is closed also if the parent was killed.
    """
    Thread(target=_wait_for_end, args=(int(sys.argv[-1]),), daemon=True).start()


def _wait_for_end(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
