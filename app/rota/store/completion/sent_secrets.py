"""The secrets that the request of an attempt carried, which continues outside: its target may echo them later."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from rota.domain.chains.result_merge import without_runs
from rota.domain.http_target.sent_secrets import entries_needed, filled_in, named_values, texts_in
from rota.domain.http_target.target import Target
from rota.domain.http_target.templates.scope import scope_of_run
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import is_sealed
from rota.domain.runs.model import ClaimedRun
from rota.store.kv.entries import KvFilter, list_entries
from rota.store.runs.claiming.claim import leased_run
from rota.store.runs.claiming.tokens import Grant
from rota.store.sealing.secret_inputs import opened_runs
from rota.store.secrets.opening import with_secrets


@dataclass(frozen=True, slots=True)
class SentSecrets:
    """Secrets: `values` of named ones, of headers and of `auth`, and the `texts` of a secret input."""

    values: tuple[str, ...] = field(default=(), repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.values or self.texts)


def secrets_sent(connection: Connection, grant: Grant, now: datetime) -> SentSecrets:
    """Return the secrets that an attempt's request to its target carried, as they are now; none if it has ended."""
    leased = leased_run(connection, grant)
    if leased is None:
        return SentSecrets()
    [run] = with_secrets(connection, opened_runs(connection, [leased]), now)
    target = run.definition.target
    if target is None:
        return SentSecrets()
    input = None if is_sealed(run.input) else json_text.loads(run.input)
    scope = scope_of_run(
        id=run.id,
        attempt=run.attempt,
        failures=run.failures,
        trigger=run.trigger,
        task=run.task,
        task_id=run.task_id,
        scheduled_for=run.scheduled_for,
        input=input,
        kv=_entries(connection, run, target, now),
    )
    secret = {each.name: each.value for each in run.secrets}
    values = (*named_values(run.secrets), *filled_in(target, {**scope, "secret": secret}))
    texts = texts_in(without_runs(input) or input) if run.secret_input else ()
    return SentSecrets(tuple(filter(None, values)), tuple(texts))


def _entries(
    connection: Connection, run: ClaimedRun, target: Target, now: datetime
) -> dict[str, Any]:
    keys = tuple(entries_needed(target))
    if not keys:
        return {}
    found = list_entries(connection, run.task, KvFilter(keys=keys), now, limit=len(keys))
    readable = (each for each in found if each.content_type == JSON_TYPE and not each.sealed)
    return dict.fromkeys(keys) | {each.key: json_text.loads(each.value) for each in readable}
