"""A hundred identical requests at the same time, each on a connection of its own, with one Idempotency-Key."""

from collections import Counter
from contextlib import ExitStack, closing

from tests.api.edge.sockets import listening, request
from tests.api.marks import always_on_both
from tests.api.service import MANUAL, Api

CLIENTS = 100
TASK = {"handler": "echo", "schedule": MANUAL}


@always_on_both
def test_a_hundred_posts_at_once_with_one_key_make_one_task(api: Api) -> None:
    sent = request("POST", "/v1/tasks", TASK, idempotency_key="one")
    head, body = sent[:-1], sent[-1:]
    with listening(api) as service, ExitStack() as stack:
        clients = [stack.enter_context(closing(service.connect())) for _ in range(CLIENTS)]
        for client in clients:
            client.send(head)
        for client in clients:  # none is complete before all are under way
            client.send(body)
        answers = [client.answer() for client in clients]

    assert Counter(answer.status for answer in answers) == {201: CLIENTS}
    assert len({answer.body for answer in answers}) == 1
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert Counter(replayed) == {None: 1, "true": CLIENTS - 1}
    assert len(api.names()) == 1
    assert {answer.headers["location"] for answer in answers} == {f"/v1/tasks/{api.names()[0]}"}
