"""Exit codes, and errors that end a command."""

from collections.abc import Mapping
from enum import IntEnum

from rota.errors import AppError, Conflict, NotFound, PreconditionFailed


class ExitCode(IntEnum):
    """What scripts can rely on; `MEANINGS` says what each stands for."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    CONFLICT = 5
    #: What a shell reports of a command that Ctrl-C has ended.
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "The command did what it was asked to do.",
    ExitCode.FAILED: "It did, and what it was about has failed: the run of `--wait`, a task of `rota apply`, a check "
    "of `rota doctor`, a line of `rota import`.",
    ExitCode.REFUSED: "Wrong use, or it was refused: a wrong option, a wrong setting, a key without the right.",
    ExitCode.UNREACHABLE: "The service cannot be reached.",
    ExitCode.NOT_FOUND: "There is no such task, run, key, file or context.",
    ExitCode.CONFLICT: "The present state does not allow it: it exists already, or was changed meanwhile.",
    ExitCode.INTERRUPTED: "Ctrl-C has ended it. A run that was waited for goes on.",
}


class CommandFailed(Exception):
    """Ends a command with a sentence on the standard error and an exit code."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def failure_of(error: Exception) -> CommandFailed | None:
    """Return how a command ends with an error that its user can act on; None for a mistake of the program."""
    match error:
        case CommandFailed():
            return error
        case NotFound():
            return CommandFailed(error.detail, ExitCode.NOT_FOUND)
        case Conflict() | PreconditionFailed():
            return CommandFailed(error.detail, ExitCode.CONFLICT)
        case AppError():
            return CommandFailed(error.detail)
        case _:
            return None
