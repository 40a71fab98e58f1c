"""Receives Rota's signed calls with FastAPI: verifies each, acts once for each run, and answers with an outcome.

export WEBHOOK_KEY="whsec_$(openssl rand -base64 32)"
python examples/receivers/fastapi_receiver.py            # listens on PORT (4100)

curl -X PUT http://localhost:8000/v1/secrets/billing_signing -H 'Content-Type: application/json' -d '{
  "value": "'"$WEBHOOK_KEY"'", "origins": ["http://127.0.0.1:4100"]}'
curl -X PUT http://localhost:8000/v1/tasks/bill-ada -H 'Content-Type: application/json' -d '{
  "handler": "http", "input": {"customer": "ada", "amount": 12},
  "target": {"url": "http://127.0.0.1:4100/invoices", "signature": {"secret": "billing_signing"}},
  "schedule": {"type": "cron", "expression": "0 9 1 * *"}}'
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response

KEY = base64.b64decode(os.environ["WEBHOOK_KEY"].removeprefix("whsec_"))
DATABASE = os.environ.get("DATABASE", "receiver.db")
OUTCOME = "application/vnd.rota.outcome+json"
TOLERANCE = 300  # seconds

# --------------------------------------------------------------- to copy: verification, and once for each run


class NotSigned(Exception):
    """A request is not Rota's, was changed, or is old."""


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return the id of the run whose call this is (Standard Webhooks 1.0.0); raises NotSigned."""
    run_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (sent_at.isascii() and sent_at.isdigit() and len(sent_at) < 16):
        raise NotSigned("there is no webhook-timestamp")
    if abs(now - int(sent_at)) > TOLERANCE:
        raise NotSigned("the call is more than five minutes old, or from the future")
    digest = hmac.new(key, f"{run_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split(b" ")  # two, during a rotation
    if not any(hmac.compare_digest(expected, each) for each in given):
        raise NotSigned("no signature is by our key")
    return run_id


@dataclass(frozen=True)
class Call:
    run_id: str
    input: Any


async def signed(request: Request) -> Call:
    body = await request.body()  # the bytes that were signed: nothing may parse them before
    try:
        run_id = verify(KEY, request.headers, body, time.time())
    except NotSigned as error:
        raise HTTPException(401, str(error)) from None
    return Call(run_id, json.loads(body))


def once(run_id: str, work: Callable[[sqlite3.Connection], Any]) -> Response:
    """Call `work` for the first call of a run, and answer the others as that one.

    What it writes is committed together with its outcome: both or neither.
    """
    with transaction() as connection:
        known = connection.execute("SELECT outcome FROM calls WHERE run_id = ?", (run_id,))
        row = known.fetchone()
        outcome = row[0] if row else json.dumps(work(connection))
        if not row:
            connection.execute("INSERT INTO calls VALUES (?, ?)", (run_id, outcome))
    return Response(outcome, media_type=OUTCOME)


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # a second call of a run waits for the first
        with connection:
            yield connection


# --------------------------------------------------------------------------------------- your application

app = FastAPI()


@app.post("/invoices")
def invoice(call: Annotated[Call, Depends(signed)]) -> Response:
    def write(connection: sqlite3.Connection) -> dict[str, Any]:
        row = (call.input["customer"], call.input["amount"])
        made = connection.execute("INSERT INTO invoices (customer, amount) VALUES (?, ?)", row)
        return {
            "result": {"invoice": made.lastrowid},
            "kv": [{"op": "increment", "key": "invoices", "by": 1}],
        }

    return once(call.run_id, write)


if __name__ == "__main__":
    with transaction() as opened:
        opened.execute("CREATE TABLE IF NOT EXISTS calls (run_id TEXT PRIMARY KEY, outcome TEXT)")
        opened.execute(
            "CREATE TABLE IF NOT EXISTS invoices (number INTEGER PRIMARY KEY, customer TEXT, amount REAL)"
        )
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "4100")))
