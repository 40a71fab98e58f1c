import inspect

import rota
from tests.sdk.sync_half import TARGET, sync_half


def test_the_sdk_for_def_handlers_is_made_from_that_for_async_handlers() -> None:
    assert TARGET.read_text() == sync_half(), "run: python -m tests.sdk.sync_half"


def test_the_sdk_for_def_handlers_awaits_nothing() -> None:
    for kind in (rota.SyncKv, rota.SyncKvTable, rota.SyncTasks):
        assert not [name for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction)]
