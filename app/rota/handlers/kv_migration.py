"""Bringing the kv of a task into the shape that its handler expects, once, in the commit of the run that does it."""

from rota.domain.primitives.names import VERSION_KEY
from rota.domain.runs.errors import RunError
from rota.handlers.registry import RegisteredHandler
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv import Kv, SyncKv


async def upgrade(handler: RegisteredHandler, kv: Kv, draft: AttemptDraft) -> None:
    """Migrate the table of an attempt of an `async` handler, if it is due; raises KvRefused for a newer one."""
    if not handler.kv_version:
        return
    old = await kv.get(VERSION_KEY, 0)
    if _is_due(handler, old, draft):
        if handler.migrate is not None:
            await handler.migrate(kv, old)
        draft.kv.set_shape(handler.kv_version)


def upgrade_now(handler: RegisteredHandler, kv: SyncKv, draft: AttemptDraft) -> None:
    """Migrate the table of an attempt of a `def` handler, if it is due; raises KvRefused for a newer one."""
    if not handler.kv_version:
        return
    old = kv.get(VERSION_KEY, 0)
    if _is_due(handler, old, draft):
        if handler.migrate is not None:
            handler.migrate(kv, old)
        draft.kv.set_shape(handler.kv_version)


def _is_due(handler: RegisteredHandler, old: int, draft: AttemptDraft) -> bool:
    wanted = handler.kv_version
    if old > wanted:
        message = (
            f"The kv has version {old}, which a newer handler has given it; {handler.name!r} here knows versions up to "
            f"{wanted}: update the handler, or revert the kv."
        )
        raise draft.refuse(RunError("kv.version", message))
    return old < wanted
