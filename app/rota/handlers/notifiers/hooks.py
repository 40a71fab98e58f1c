"""`notify.webhook` and `notify.slack`: an event posted as JSON, as it is or as a message."""

from typing import Any

from rota.domain.alerts.messages import TEST, Message, message_of, message_of_runs
from rota.domain.alerts.notifiers import SLACK, WEBHOOK, NotifierInput, SlackInput, WebhookInput
from rota.domain.alerts.received_events import TEST_TYPE, document
from rota.domain.alerts.slack import slack_payload
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant
from rota.egress.client import HTTP_CLIENT
from rota.handlers.notifiers.posting import hook_of, post
from rota.handlers.registry import BUILT_IN, RegisteredHandler, register
from rota.sdk.contexts import Context
from rota.sdk.decorator import Handler


async def webhook(ctx: Context, input: WebhookInput) -> dict[str, Any]:
    """Post the event of an alert as JSON: `{"type", "timestamp", "data"}`.

    The `input` of the task has the address: `{"url": "https://…"}` or `{"url_secret": "<a named secret>"}`, and
    `"signature": {"secret": "<a named secret>"}` to sign it by Standard Webhooks. Without an event it posts a
    test.
    """
    hook = hook_of(ctx, input.url, input.url_secret, input.signature)
    return {"status": await post(ctx, hook, json_text.dumps(_envelope(input)).encode())}


async def slack(ctx: Context, input: SlackInput) -> dict[str, Any]:
    """Post the event of an alert to Slack, or to what takes the same JSON (Mattermost, Discord's `/slack`).

    The `input` of the task has the address: `{"url_secret": "<a named secret>"}`, whose value is the address of an
    incoming webhook, or `{"url": "https://…"}`. Without an event it posts a test message.
    """
    message = message_in(input)
    hook = hook_of(ctx, input.url, input.url_secret)
    status = await post(ctx, hook, json_text.dumps(slack_payload(message)).encode())
    return {"status": status, "title": message.title}


def message_in(given: NotifierInput) -> Message:
    """Return the message of the event that a notifier has got, or of the runs that it comes after; else a test."""
    if given.event is not None:
        return message_of(given.event)
    return message_of_runs(given.runs) if given.runs else TEST


def _envelope(given: NotifierInput) -> dict[str, Any]:
    event = given.event
    if event is not None:
        return {"type": event.type, "timestamp": event.timestamp, "data": document(event.data)}
    now = format_instant(HTTP_CLIENT.get().clock.now())
    if given.runs:
        data: dict[str, Any] = {"runs": given.runs, "results": given.results}
        return {"type": "after", "timestamp": now, "data": data}
    return {"type": TEST_TYPE, "timestamp": now, "data": {"message": TEST.summary}}


def _handler(name: str, function: Any) -> RegisteredHandler:
    description = " ".join((function.__doc__ or "").split())
    return register(Handler(name=name, function=function, description=description), BUILT_IN)


HOOKS = (_handler(WEBHOOK, webhook), _handler(SLACK, slack))
