"""Migration of a task's kv to the version that its handler expects: once, in the commit of a run."""

from rota.domain.primitives.texts.names import VERSION_KEY
from rota.domain.runs.errors import RunError
from rota.handlers.registry import RegisteredHandler
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv import Kv
from rota.sdk.sync import SyncKv


async def migrate_kv(handler: RegisteredHandler, kv: Kv, draft: AttemptDraft) -> None:
    """Migrate the table for an `async` handler, if it has an older version; raises KvRefused if it has a newer one."""
    if not handler.kv_version:
        return
    old = await kv.get(VERSION_KEY, 0)
    if _is_due(handler, old, draft):
        if handler.migrate is not None:
            await handler.migrate(kv, old)
        draft.kv.set_shape(handler.kv_version)


def migrate_kv_sync(handler: RegisteredHandler, kv: SyncKv, draft: AttemptDraft) -> None:
    """Migrate the table for a `def` handler, if it has an older version; raises KvRefused if it has a newer one."""
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
            f"The kv has version {old}, from a newer handler; {handler.name!r} in this process supports versions up to "
            f"{wanted}: update the handler, or revert the kv."
        )
        raise draft.refuse(RunError("kv.version", message))
    return old < wanted
