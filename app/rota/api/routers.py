"""The routers of the service, in the order in which they are searched."""

from fastapi import APIRouter

from rota.api import alerts, audit, events, handlers, leases, queues, replicas, system
from rota.api.bulk import routes as bulk_run_routes
from rota.api.bulk import verbs as bulk_run_verbs
from rota.api.calendars import routes as calendar_routes
from rota.api.holds import routes as hold_routes
from rota.api.keys import routes as key_routes
from rota.api.kv import history as kv_history
from rota.api.kv import routes as kv_routes
from rota.api.kv import run_changes as kv_run_changes
from rota.api.kv import transfer as kv_transfer
from rota.api.runs import completions
from rota.api.runs import groups as run_groups
from rota.api.runs import lineage as run_lineage
from rota.api.runs import lists as run_lists
from rota.api.runs import logs as run_logs
from rota.api.runs import routes as run_routes
from rota.api.secrets import routes as secret_routes
from rota.api.stats import badge, status
from rota.api.stats import hours as stats_hours
from rota.api.stats import routes as stats_routes
from rota.api.tasks import actions as task_actions
from rota.api.tasks import backfills, batch, explain, preview
from rota.api.tasks import routes as task_routes
from rota.api.tasks.bulk import routes as bulk_routes
from rota.api.upcoming import hours as upcoming_hours
from rota.api.upcoming import routes as upcoming

#: They are searched in this order at every request: the most frequent routes come first.
ROUTERS: tuple[APIRouter, ...] = (
    task_routes.routes,
    batch.routes,
    kv_transfer.routes,
    kv_history.routes,
    kv_routes.routes,
    task_actions.routes,
    bulk_routes.routes,
    preview.routes,
    explain.routes,
    backfills.routes,
    run_lists.of_task,
    stats_routes.of_task,
    badge.routes,
    status.routes,
    alerts.of_task,
    alerts.routes,
    run_lists.routes,
    run_groups.routes,
    run_routes.routes,
    stats_routes.routes,
    stats_hours.routes,
    bulk_run_verbs.routes,
    bulk_run_routes.routes,
    run_lineage.routes,
    kv_run_changes.routes,
    completions.routes,
    run_logs.routes,
    events.routes,
    upcoming.routes,
    upcoming_hours.routes,
    queues.routes,
    hold_routes.routes,
    calendar_routes.routes,
    secret_routes.routes,
    key_routes.routes,
    leases.routes,
    handlers.routes,
    audit.routes,
    replicas.routes,
    system.routes,
)
