"""Exit codes, and errors that end a command."""

from enum import IntEnum

from rota.errors import AppError, Conflict, NotFound, PreconditionFailed


class ExitCode(IntEnum):
    """What scripts can rely on."""

    #: The command did what it was asked to do.
    DONE = 0
    #: It did, and what it was about failed: the run of `--wait`, a finding of `rota doctor`.
    FAILED = 1
    #: Wrong use, or refused.
    REFUSED = 2
    #: The service or the database cannot be reached.
    UNREACHABLE = 3
    #: There is no such task, run, key, …
    NOT_FOUND = 4
    #: The present state does not allow it, or it was changed meanwhile.
    CONFLICT = 5


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
